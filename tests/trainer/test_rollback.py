"""A rollback goes on from the newest checkpoint that is not later than what it answers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ebm_exp.guard import Guard, Symptom
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer import rollback as module
from ebm_exp.trainer.outcome import Outcome


@pytest.mark.parametrize(("step", "begins"), [(30, 20), (20, 20), (5, None)])
def test_it_goes_on_from_before_the_symptom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, begins: int | None
) -> None:
    run = RunDirectory(tmp_path)
    config: dict[str, Any] = {"optimizer": {"lr": 0.1}}
    for folder in (run.checkpoints, tmp_path / ".hydra"):
        folder.mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    for each in (10, 20, 40):
        run.checkpoint(each).touch()
    monkeypatch.setattr(module, "read_state", lambda directory, at, ranks: {"step": at})
    guard = Guard((), torch.device("cpu"), on_divergence="rollback")
    outcome = Outcome("diverged", symptom=Symptom("gap", step, "", remedy=("learning_rate",)))
    following = module.rollback(run, config, guard, outcome)
    assert following is not None
    assert (following[1] or {}).get("step") == begins
    assert following[0]["optimizer"]["lr"] < 0.1
    assert run.checkpoint_steps() == [each for each in (10, 20) if each <= (begins or 0)]
    assert module.rollback(run, config, guard, Outcome("finished")) is None
