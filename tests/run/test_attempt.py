"""What a run went on with stands in its record, which is data, and in its config, which is what is in force."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ebm_exp.run import attempt
from ebm_exp.run.attempt import Change
from ebm_exp.run.directory import RunDirectory

CONFIG: dict[str, Any] = {
    "seed": 0, "device": "cpu", "notes": None, "attempt": 0, "optimizer": {"lr": 0.1},
    "trainer": {"max_steps": 3000, "log_every_steps": "${trainer.max_steps}"}, "logger": {"entity": "team"},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return RunDirectory(tmp_path)


def goes_on(run: RunDirectory, step: int = 500, read: Any = None, **values: Any) -> list[Any]:
    """What stands in the record after a run went on with other values; ``log_every_steps`` is resolved."""
    config = CONFIG | {"trainer": {"max_steps": 3000, "log_every_steps": 3000}} | values
    attempt.take_in(run, config, {} if read is None else read, step)
    return run.summary().get("attempts", [])


def in_file(run: RunDirectory) -> dict[str, Any]:
    return yaml.safe_load((run.path / ".hydra" / "config.yaml").read_text())


def test_of_the_record_count_only_numbers_that_an_attempt_may_change(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    changed = {
        "optimizer.lr": [0.1, 0.05],
        "optimizer._target_": ["torch.optim.SGD", "os.system"],
        "energy._target_": ["x", "os.system"],
        "trainer.max_steps": [1, 2],
    }
    run.write_summary({"attempts": [{"attempt": 1, "step": 5, "why": "gap", "changed": changed}]})
    config = {"optimizer": {"lr": 0.1, "_target_": "a"}, "energy": {"_target_": "b"}, "trainer": {"max_steps": 1}}
    expected = config | {"optimizer": {"lr": 0.05, "_target_": "a"}, "attempt": 1}
    assert attempt.in_force(run, config) == expected
    assert attempt.in_force(run, config | {"attempt": 1}) == config | {"attempt": 1}
    assert config["optimizer"] == {"lr": 0.1, "_target_": "a"}


def test_a_run_that_goes_on_as_before_has_nothing_to_say(run: RunDirectory) -> None:
    before = (run.path / ".hydra" / "config.yaml").read_text()
    assert goes_on(run, device="cuda", resume="here") == []
    foreign = CONFIG | {"logger": {"entity": None}}
    assert goes_on(run, read=foreign, logger={"entity": None}) == []  # not taken from the run, nor by its user
    assert goes_on(run, read=foreign, logger={"entity": "team"}) == []
    assert (run.path / ".hydra" / "config.yaml").read_text() == before


def test_what_its_user_changes_is_in_force_and_noted(run: RunDirectory) -> None:
    run.write_summary({"state": "stopped"})
    (first,) = goes_on(run, notes="why not", trainer={"max_steps": 1000, "log_every_steps": 3000})
    changed = {"notes": [None, "why not"], "trainer.max_steps": [3000, 1000]}
    assert first == {"attempt": 0, "step": 500, "why": "asked for", "changed": changed}
    assert run.summary()["state"] == "stopped"
    assert in_file(run)["trainer"] == {"max_steps": 1000, "log_every_steps": 3000}
    with_lr = {"notes": "why not", "optimizer": {"lr": 0.01}}
    assert len(goes_on(run, **with_lr, trainer={"max_steps": 1000, "log_every_steps": 3000})) == 1  # may not change so
    second = goes_on(run, 700, **with_lr, attempt=1, trainer={"max_steps": 200, "log_every_steps": 3000})[1]
    assert second["changed"] == {"optimizer.lr": [0.1, 0.01], "trainer.max_steps": [1000, 700]}  # it has 700 already
    assert (in_file(run)["optimizer"], in_file(run)["attempt"]) == ({"lr": 0.01}, 1)
    attempt.begin(run, {"optimizer.lr": 0.005}, 600, "gap")
    changes = attempt.changes(run.summary())
    assert [(each.attempt, each.step, each.why) for each in changes] == [(0, 500, "asked for"), (1, 700, "asked for"),
                                                                        (2, 600, "gap")]  # fmt: skip
    assert str(changes[2]) == "from step 600: optimizer.lr 0.01 → 0.005 (gap)"
    assert attempt.asked(changes) == {
        "notes": (None, "why not"), "trainer.max_steps": (3000, 700), "optimizer.lr": (0.1, 0.01),
    }  # fmt: skip
    typed = ["seed=1", "trainer.max_steps=3000", "~augmentation"]
    now = ["seed=1", "trainer.max_steps=700", "~augmentation", "notes='why not'", "optimizer.lr=0.01"]
    assert attempt.typed_in_force(typed, changes) == now


@pytest.mark.parametrize("attempts", [None, 5, "x", [5], [{}], [{"attempt": 1, "step": 1, "why": 1, "changed": [1]}],
                                      [{"attempt": 1, "step": 1e999, "why": "gap", "changed": {}}]])  # fmt: skip
def test_a_record_of_another_kind_is_none(attempts: Any) -> None:
    assert attempt.changes({"attempts": attempts}) == []


def test_a_config_says_what_is_trained(run: RunDirectory) -> None:
    typed = CONFIG | {"seed": 1.0, "optimizer": {"lr": 1}, "energy": {"widths": [8, 9.0]}, "notes": "1"}
    (run.path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(typed))
    cast = typed | {"seed": 1, "optimizer": {"lr": 1.0}, "energy": {"widths": [8, 9]}}
    attempt.write_cast(run, cast | {"trainer": {"max_steps": 3000, "log_every_steps": 3000}, "own": True})
    assert repr(in_file(run)["seed"]) == "1"
    assert repr(in_file(run)["energy"]["widths"]) == "[8, 9]"
    assert repr(in_file(run)["optimizer"]["lr"]) == "1"
    assert in_file(run)["trainer"] == CONFIG["trainer"]
    assert "own" not in in_file(run)
    attempt.write_cast(RunDirectory(run.path / "none"), cast)


def test_a_change_reads_in_one_line() -> None:
    change = Change(0, 1000, "asked for", {"a": None, "guard.ignore": []}, {"a": True, "guard.ignore": ["gap"]})
    assert str(change) == "from step 1,000: a null → true, guard.ignore [] → [gap] (asked for)"
