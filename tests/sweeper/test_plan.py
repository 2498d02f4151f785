"""What tells a job from another, and where a sweep is found again."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.plan import differences, find, grid, identity, is_complete, keys_of, moved
from ebm_exp.sweeper.space import Space


def parse(*arguments: str) -> list:
    return OverridesParser.create().parse_overrides(list(arguments))


def test_a_grid_is_every_combination_in_the_order_typed() -> None:
    overrides = parse(
        "seed=1,2", "energy=mlp", "+energy.widths=[8,8],[16]", "~augmentation", "sampler.step_size=range(1,3)"
    )
    every = list(grid(overrides))
    assert len(every) == 8
    assert every[0] == (
        ("seed=1", "+energy.widths=[8,8]", "sampler.step_size=1"),
        ("seed=1", "energy=mlp", "+energy.widths=[8,8]", "~augmentation", "sampler.step_size=1"),
    )
    assert [varied[2] for varied, _ in every] == ["sampler.step_size=1", "sampler.step_size=2"] * 4
    assert keys_of(overrides) == ["seed", "energy.widths", "sampler.step_size"]
    assert len(list(grid(parse("seed=1,1,2")))) == 2


def test_a_grid_has_no_interval() -> None:
    with pytest.raises(UserError, match=r"sampler\.step_size: an interval needs a search"):
        list(grid(parse("sampler.step_size=interval(1,2)")))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("seed=range(3,0)", r"seed=range\(3,0\): is empty; range\(1,4\) is 1, 2 and 3"),
        ("seed=range(1,3,0)", "has a step of 0, and no end"),
        ("seed=range(0,1,1e-9)", "is 1,000,000,000 values, at most 100,000 can be planned"),
        ("seed=shuffle(range(1,1000000000))", "is 999,999,999 values, at most"),
    ],
)
def test_what_is_no_number_of_jobs_is_refused(typed: str, said: str) -> None:
    for plan in (lambda: list(grid(parse(typed))), lambda: Space.parse([typed.replace("shuffle(range", "range")
                 .replace("))", ")")], {})):  # fmt: skip
        with pytest.raises(UserError, match=said):
            plan()
    assert len(list(grid(parse("seed=range(3,0,-1)", "sampler.step_size=range(0,1,0.25)")))) == 12
    with pytest.raises(UserError, match=r"n_steps: makes 250,000 jobs of this sweep, at most 100,000"):
        list(grid(parse("seed=range(0,500)", "sampler.n_steps=range(0,500)")))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy": {"width": 32, "depth": 2}}, ["energy.width 16 → 32"]),
        ({"energy": {"width": 16}}, ["energy.depth 2 → nothing"]),
        ({"data": {"root": "/b", "cache_dir": "/c", "path": "/d.csv", "n": 3}}, ["data.n nothing → 3"]),
        ({"logger": {"mode": "offline"}, "device": "cuda", "sweep": "new", "retry_failed": True}, []),
        ({"widths": (1, 2)}, []),
    ],
)
def test_differences_of_two_jobs(change: dict, said: list[str]) -> None:
    before = {
        "energy": {"width": 16, "depth": 2}, "data": {"root": "/a", "path": "/d"}, "device": "cpu", "widths": [1, 2],
        "logger": {"mode": "disabled"},
    }  # fmt: skip
    assert differences(before, before | change) == said


def sweep_at(path: Path, overrides: list[str], n: int = 1, complete: bool = False, **more: list[str]) -> SweepDirectory:
    sweep = SweepDirectory(path)
    sweep.write_record({"overrides": overrides, "n": n, "complete": complete, **more})
    return sweep


def test_the_newest_unfinished_sweep_of_the_same_command_goes_on(tmp_path: Path) -> None:
    same, wanted = ["seed=1,2", "energy=mlp", "logger.mode=offline", "device=cpu"], tmp_path / "2026-03"
    assert identity(same) == ["energy=mlp", "seed=1,2"]
    assert find(wanted, same, {}, given=False, new=False)[1] is False
    sweep_at(tmp_path / "2026-01", same)
    sweep_at(tmp_path / "2026-02", same, complete=True)
    sweep_at(tmp_path / "2026-02b", ["seed=1,2,3"])
    found, is_there = find(wanted, same, {}, given=False, new=False)
    assert (found.path.name, is_there) == ("2026-01", True)
    sweep_at(tmp_path / "2026-01", same, complete=True)
    assert find(wanted, same, {}, given=False, new=False)[0].path.name == "2026-02"
    found, is_there = find(wanted, same, {}, given=False, new=True)
    assert (found.path, is_there) == (wanted, False)


def test_data_that_moved_make_no_other_sweep_and_are_told(tmp_path: Path) -> None:
    assert identity(["dataset.root=/a", "+dataset.path=/b", "seed=1"]) == identity(["seed=1", "dataset.root=/c"])
    older = ["dataset.root=/a", "experiment=flow/cifar10", "optimizer=adam", "~energy", "~optimizer.adam_lr"]
    command = ["python", "train.py", "-m", *older[:4]]  # the last was added, when an experiment left it behind
    sweep_at(tmp_path / "1", older, command=command, arguments=older)
    now = ["dataset.root=/b", *older[1:4]]
    found, is_there = find(tmp_path / "2", now, {}, given=False, new=False)
    assert is_there
    assert moved(found.record(), now) == ["dataset.root: was /a, the data are the same"]
    assert not find(tmp_path / "2", [*now[:3]], {}, given=False, new=False)[1]


def test_other_data_make_another_sweep(tmp_path: Path) -> None:
    table = {"_target_": "ebm_exp.dataset.Table", "name": "t", "path": str(tmp_path / "a.csv"), "noise_std": 0.0}
    for name, x in (("a", 1), ("b", 1), ("c", 2)):
        rows = "\n".join(f"{i**x}.5,{i % 7}" for i in range(40))
        (tmp_path / f"{name}.csv").write_text(f"u,v\n{rows}\n")
    configs = {
        name: {"dataset": table | {"path": str(tmp_path / f"{name}.csv")}, "device": "cpu", "seed": 0} for name in "abc"
    }
    words = {name: ["seed=1,2", f"dataset.path={tmp_path}/{name}.csv"] for name in "abc"}
    sweep = sweep_at(tmp_path / "s" / "1", words["a"], arguments=words["a"])
    sweep.run(0).path.mkdir()
    sweep.run(0).write_summary({"data": Parts(configs["a"])["dataset"].facts(), "state": "finished"})
    sweep.claim(0, ("seed=1",), configs["a"])
    for name, is_same in (("a", True), ("b", True), ("c", False)):
        assert find(tmp_path / "s" / "2", words[name], configs[name], given=False, new=False)[1] is is_same, name
    with pytest.raises(UserError, match="holds this sweep over other data"):
        find(sweep.path, words["c"], configs["c"], given=True, new=False)


def test_places_that_vary_tell_sweeps_apart() -> None:
    assert identity(["dataset.path=a,b", "seed=1"]) == ["dataset.path=a,b", "seed=1"]


def test_a_directory_that_was_typed_is_that_one_or_none(tmp_path: Path) -> None:
    mine = ["seed=1,2"]
    assert find(tmp_path / "none", mine, {}, given=True, new=False)[1] is False
    sweep = sweep_at(tmp_path / "a", mine)
    assert find(sweep.path, mine, {}, given=True, new=False)[1] is True
    with pytest.raises(UserError, match=r"holds the sweep of another command \(seed=1,2\)"):
        find(sweep.path, ["seed=1,3"], {}, given=True, new=False)
    with pytest.raises(UserError, match="holds this sweep already"):
        find(sweep.path, mine, {}, given=True, new=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other files"):
        find(tmp_path / "b", mine, {}, given=True, new=False)


@pytest.mark.parametrize("place", [".locks", "sweep.json", "journal.log", "report.html", "0", "0/job.json", "0/x/y"])
def test_a_sweep_that_is_found_and_leads_out_of_itself_is_refused(place: str, tmp_path: Path) -> None:
    """One whose record cannot be read is no sweep of this command. Typed ones: tests/cli/test_stranger_sweeps.py."""
    outside, folder = tmp_path / "outside", tmp_path / "sweeps" / "1"
    outside.mkdir()
    sweep_at(folder, ["seed=1"])
    at = folder / place
    at.parent.mkdir(parents=True, exist_ok=True)
    at.unlink(missing_ok=True)
    at.symlink_to(outside)
    if place == "sweep.json":
        assert find(folder.parent / "2", ["seed=1"], {}, given=False, new=False)[0].path == folder.parent / "2"
    else:
        with pytest.raises(UserError, match=rf"^sweep: {at} is a link, and a sweep may not lead out of itself"):
            find(folder.parent / "2", ["seed=1"], {}, given=False, new=False)
    assert not list(outside.iterdir())


def test_a_folder_that_somebody_prepared_is_no_place_for_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".locks").symlink_to(tmp_path)
    with pytest.raises(UserError, match="locks is a link"):
        find(tmp_path / "s", ["seed=1"], {}, given=True, new=False)


def test_a_sweep_is_complete_when_its_jobs_have_ended(tmp_path: Path) -> None:
    sweep = sweep_at(tmp_path / "s", [], n=2)
    for number, state in enumerate(("finished", "stopped")):
        sweep.claim(number, (), {})
        sweep.run(number).write_summary({"state": state})
    assert not is_complete(sweep)
    sweep.run(1).write_summary({"state": "failed"})
    assert is_complete(sweep)
