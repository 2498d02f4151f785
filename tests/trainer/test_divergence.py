"""What a training that is not healthy leaves."""

from pathlib import Path

import pytest
import torch

from ebm_exp.dataset import Dataset
from ebm_exp.energy import Energy
from ebm_exp.objective import Loss, Objective
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.build import build
from ebm_exp.trainer.session import Session
from ebm_exp.types import Points
from tests.config.test_conf import composed

TINY = ("energy.widths=[8]", "trainer.batch_size=8", "evaluator=none", "optimized_metric=null")


class FailsLater(Objective):
    """A loss that is not finite at its fourth step."""

    def gather(self, energy: Energy, batch: Points, step: int, generator: torch.Generator) -> tuple[Points, None]:
        self.factor = float("nan") if step == 3 else 1.0
        return batch, None

    def loss(self, energy: Energy, given: Points, generator: torch.Generator) -> Loss:
        return Loss({"e": self.factor * energy(given.x.nan_to_num()).square()}, {}, {})


def test_the_batch_of_the_step_is_kept_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two batches are trained on again and again, the fourth step has the second, and one point of it is NaN."""
    real = Dataset.batch

    def batch(self: Dataset, step: int, *more: object) -> Points:
        points = real(self, step, *more)
        if step == 1:
            points.x[5] = float("nan")
        return points

    monkeypatch.setattr(Dataset, "batch", batch)
    parts, experiment = build(composed(*TINY, "debug=overfit", "trainer.n_batches=2", "trainer.log_every_steps=4"))
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    experiment = experiment._replace(objective=FailsLater())
    outcome = Session(parts["trainer"], experiment, directory, parts["logger"]).run()
    assert outcome.symptom is not None
    assert (outcome.symptom.name, outcome.symptom.step) == ("data_not_finite", 4)
    kept = torch.load(directory.checkpoints / "diverged.pt", weights_only=True)["batch"]
    second = experiment.dataset.batch(1, 8, experiment.stream.seed, 0, experiment.data_augmentation).x
    torch.testing.assert_close(kept, second, rtol=0, atol=0, equal_nan=True)
