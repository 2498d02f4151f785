"""What a training that is not healthy leaves."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import Energy
from ebm_exp.guard import NonFiniteError, Symptom
from ebm_exp.objective import Loss, Objective
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.build import build
from ebm_exp.trainer.divergence import explain, find_far
from ebm_exp.trainer.session import Session
from ebm_exp.types import Points
from tests.config.test_conf import composed

TINY = ("energy.widths=[8]", "trainer.batch_size=8", "evaluator=none", "optimized_metric=null")
SMALL_FLOW = ("optimizer=adam", "energy.channels=[4]", "energy.strides=[1]", "energy.width=8", *TINY[1:])


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
    second = experiment.dataset.batch(1, 8, experiment.stream.seed, experiment.data_augmentation).x
    torch.testing.assert_close(kept, second, rtol=0, atol=0, equal_nan=True)


def test_advice_is_of_parts_that_the_training_has() -> None:
    """A flow runs no chains: a sampler and a buffer stand in its config alone, and its gradient is clipped already."""
    _, flow = build(composed("experiment=flow/digits", *SMALL_FLOW))
    symptom = explain(NonFiniteError(3, "train/loss").symptom, flow)
    assert symptom.text == (
        "step 3: train/loss is not finite (NaN or infinite). Likely: a learning rate that is too high. "
        "What helps: a smaller optimizer.lr."
    )
    assert symptom.remedy == ("learning_rate", "clip")
    assert explain(Symptom("", 1, "", remedy=("restarts", "step_size")), flow).remedy == ()
    _, chains = build(composed(*TINY, "trainer.gradient_norm_clip=null"))
    assert explain(NonFiniteError(3, "train/loss").symptom, chains).text.endswith(
        "Likely: a learning rate that is too high, or chains that left all data behind. What helps: a smaller "
        "optimizer.lr, trainer.gradient_norm_clip=1, a smaller sampler.step_size."
    )


def test_one_row_far_out_is_named_before_the_chains(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    lines = ["a,b", *(f"{a:.4f},{b:.4f}" for a, b in torch.randn(3000, 2, generator=g).tolist())]
    lines[1234] = "1000000,0.5"
    (tmp_path / "points.csv").write_text("\n".join(lines) + "\n")
    _, experiment = build(composed("dataset=table", f"dataset.path={tmp_path}/points.csv", *TINY))
    symptom = explain(Symptom("gap", 0, "they lie apart", ("the energy changes too fast",)), experiment)
    assert symptom.text.startswith("they lie apart. Likely: a training point with 1e+06 in column a, ")
    assert "or the energy changes too fast. What helps: to correct or remove it in dataset=table" in symptom.text


def test_points_of_a_heavy_tail_rare_values_and_images_are_not_far_out() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 3, generator=g)
    x[:, 1] = x[:, 1].exp()  # log-normal
    x[:, 2] = (torch.arange(20_000) % 4000 == 0).float()  # five ones

    def found(train: torch.Tensor) -> str | None:
        domain = Domain(-300, 300, tuple(train.shape[1:]))
        return find_far(Dataset(name="x", domain=domain, train=train, test=train, clamp_noise=False))

    assert found(x) is None
    x[7, 0] = 250
    assert found(x) == "a training point with 250 in component 0, 268 deviations away from the others"
    images = torch.zeros(300, 1, 4, 4)
    images[0, 0, 0, 0] = 250
    assert found(images) is None


@pytest.mark.parametrize("choices", ["objective=pcd", "objective=short_run"])
def test_a_training_that_learns_nothing_says_so(tmp_path: Path, choices: str) -> None:
    small = (*TINY, "sampler.n_steps=1", "trainer.max_steps=12")
    quick = ("guard.every_steps=1", "guard.window_steps=5", "trainer.log_every_steps=5")
    parts, experiment = build(composed(choices, *small, *quick, "logger.mode=disabled", "optimizer.lr=1e-12"))
    experiment.guard.rules = tuple(replace(each, after=0) for each in experiment.guard.rules if each.signal == "travel")
    directory = RunDirectory(tmp_path / "run")
    directory.create()
    outcome = Session(parts["trainer"], experiment, directory, parts["logger"]).run()
    assert outcome.symptom is not None
    assert outcome.symptom.name == "nothing_learned"
    assert "What helps: a larger optimizer.lr" in outcome.symptom.text
