"""What a run says of itself: its name, group and tags, and the config that is recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.run.about import about, checksum, origin, read_composed, short
from ebm_exp.run.directory import RunDirectory

CONFIG = {
    "name": "digits",
    "dataset": {"_target_": "ebm_exp.dataset.Digits", "name": "digits", "suggest": {"lr": 1.0}, "stand_in": {"a": 1}},
    "energy": {"_target_": "ebm_exp.energy.MLP", "widths": [8]},
    "init_from": None,
}


def run(path: Path, *overrides: str, multirun: bool = False, **choices: str | None) -> RunDirectory:
    """A run directory as Hydra leaves it."""
    (path / ".hydra").mkdir(parents=True)
    (path / "checkpoints").mkdir()
    mode = "MULTIRUN" if multirun else "RUN"
    hydra = {"hydra": {"mode": mode, "runtime": {"choices": choices | {"hydra/launcher": "basic", "local": "local"}}}}
    (path / ".hydra" / "hydra.yaml").write_text(json.dumps(hydra))
    (path / ".hydra" / "overrides.yaml").write_text(json.dumps(overrides))
    return RunDirectory(path)


def sweep(path: Path, keys: list[str], number: int, overrides: list[str]) -> RunDirectory:
    """A job of a sweep."""
    directory = run(path / str(number), *overrides, "trainer.max_steps=9", multirun=True, dataset="digits")
    (path / "sweep.json").write_text(json.dumps({"keys": keys}))
    job = {"number": number, "overrides": overrides, "config": {}}
    (directory.path / "job.json").write_text(json.dumps(job))
    return directory


def test_a_single_run_is_named_by_its_directory_and_what_was_typed(tmp_path: Path) -> None:
    bare = about(run(tmp_path / "digits" / "2026-11-25"), CONFIG)
    assert bare.name == "digits/2026-11-25"
    assert not bare.in_sweep
    typed = ("sampler=hmc", "sampler.step_size=2", "logger.mode=offline", "device=cpu", "dataset.root=/data")
    told = about(run(tmp_path / "digits" / "2026-11-26", *typed), CONFIG)
    assert told.name == "digits/2026-11-26 sampler=hmc step_size=2"


def test_a_job_of_a_sweep_is_named_by_what_the_sweep_varies(tmp_path: Path) -> None:
    path = tmp_path / "sweeps" / "digits" / "stamp"
    job = sweep(path, ["seed", "sampler.step_size"], 3, ["seed=2", "sampler.step_size=2", "trainer.max_steps=200"])
    told = about(job, CONFIG, str(path))
    assert told.name == "3 seed=2 step_size=2"
    assert told.group == "digits/stamp"
    assert told.in_sweep
    assert about(job, CONFIG, told.group).group == told.group  # as summary.json hands it on


def test_a_multirun_without_a_record_is_named_by_what_was_typed(tmp_path: Path) -> None:
    told = about(run(tmp_path / "s" / "1", "seed=1", "trainer.max_steps=3", multirun=True), CONFIG, str(tmp_path / "s"))
    assert told.name == "1 seed=1 max_steps=3"
    assert told.in_sweep


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed=1"], ["seed=1"]),
        (["sampler.step_size=1", "sampling.step_size=2"], ["sampler.step_size=1", "sampling.step_size=2"]),
        (["sampler@sampler.kernel=hmc", "sampler=jump"], ["kernel=hmc", "sampler=jump"]),
        (["energy.widths=[16,32]", "+energy.a=1"], ["widths=[16,32]", "a=1"]),
        (["~regularization.energy_l2", "seed=1", "seed=2"], ["~regularization.energy_l2", "seed=2"]),
        (["experiment=du2019/igebm", "debug=smoke"], ["experiment=du2019/igebm", "debug=smoke"]),
        (
            ["hydra.run.dir=/x", "hydra/launcher=joblib", "logger=both", "logger.a.tags=[a]", "name=x", "notes=y"],
            [],
        ),
        (
            [
                "trainer.log_every_steps=1",
                "device=cpu",
                "trust=true",
                "sweep=new",
                "dataset.root=/d",
                "run=/r",
                "resume=/r",
            ],
            [],
        ),
    ],
)
def test_keys_are_as_short_as_tells_them_apart(overrides: list[str], expected: list[str]) -> None:
    assert short(overrides) == expected


def test_tags_are_the_choices_or_what_the_config_says(tmp_path: Path) -> None:
    chosen = run(tmp_path / "a", dataset="digits", energy="mlp", experiment="du2019/igebm", debug=None)
    assert about(chosen, CONFIG).tags == ("digits", "mlp", "du2019/igebm")
    assert about(RunDirectory(tmp_path / "none"), CONFIG).tags == ("digits", "MLP")


def test_the_config_has_choices_and_overrides_and_nothing_twice(tmp_path: Path) -> None:
    directory = run(tmp_path / "a", "seed=1", dataset="digits", debug=None)
    config: dict[str, Any] = dict(about(directory, CONFIG | {"notes": "why"}, facts={"n_parameters": 5}).config)
    assert config["choices"] == {"dataset": "digits"}
    assert config["overrides"] == ["seed=1"]
    assert config["dataset"] == {"_target_": "ebm_exp.dataset.Digits", "name": "digits"}
    assert (config["n_parameters"], config["run_dir"]) == (5, str(tmp_path / "a"))
    assert "parent" not in config
    assert about(directory, CONFIG | {"notes": "why"}).notes == "why"


def test_what_a_run_went_on_with_stands_in_its_name_and_its_config(tmp_path: Path) -> None:
    directory = run(tmp_path / "a", "trainer.max_steps=3000", "optimizer.lr=0.1")
    asked = {"attempt": 0, "step": 9, "why": "asked for", "changed": {"trainer.max_steps": [3000, 1000]}}
    guarded = {"attempt": 1, "step": 12, "why": "gap", "changed": {"optimizer.lr": [0.1, 0.05]}}
    directory.write_summary({"attempts": [asked, guarded]})
    told = about(directory, CONFIG)
    assert told.name.endswith("/a max_steps=1000 lr=0.1")
    config: dict[str, Any] = dict(told.config)
    assert config["overrides"] == ["trainer.max_steps=1000", "optimizer.lr=0.1"]
    assert config["went_on"] == [
        "from step 9: trainer.max_steps 3000 → 1000 (asked for)", "from step 12: optimizer.lr 0.1 → 0.05 (gap)",
    ]  # fmt: skip


def test_where_a_run_began_is_recorded_with_a_checksum(tmp_path: Path) -> None:
    parent = run(tmp_path / "parent")
    for step in (5, 10):
        parent.checkpoint(step).write_bytes(bytes(step))
    parent.write_summary({"wandb_id": "abcd1234"})
    told = about(run(tmp_path / "child"), CONFIG | {"init_from": str(parent.path)}).config["parent"]
    assert told["sha256"] == checksum(parent.checkpoint(10))
    assert (told["run"], told["wandb_id"], told["step"]) == (str(parent.path), "abcd1234", 10)
    assert origin(parent, 5)["sha256"] == checksum(parent.checkpoint(5))
    gone = origin(RunDirectory(tmp_path / "gone"))  # a run that goes on after its parent was deleted
    assert (gone["checkpoint"], gone["sha256"]) == (None, None)


@pytest.mark.parametrize("content", ["", "[]", "hydra: 3", "hydra: {runtime: {}}", "{unbalanced"])
def test_files_of_another_kind_say_nothing(content: str, tmp_path: Path) -> None:
    directory = run(tmp_path / "a")
    (directory.path / ".hydra" / "hydra.yaml").write_text(content)
    (directory.path / "job.json").write_text("[1]")
    assert read_composed(directory.path) == ({}, [], False)
    assert about(directory, CONFIG).name.endswith("/a")


def test_a_name_is_no_longer_than_wandb_takes(tmp_path: Path) -> None:
    told = about(run(tmp_path / "a", f"energy.widths=[{','.join(['8'] * 200)}]"), CONFIG, "g" * 300)
    assert len(told.name) == len(told.group or "") == 128
