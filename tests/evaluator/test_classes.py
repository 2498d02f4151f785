"""A classifier of known accuracy, calibration and margins."""

import math

import pytest
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset import Synthetic
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Joint
from ebm_exp.energy.joint import Labelled
from ebm_exp.engine import Eager
from ebm_exp.evaluator import Classes
from ebm_exp.trainer.build import build
from tests.config.test_conf import composed
from tests.energy.test_joint import CPU
from tests.evaluator.scoring import scored

ENGINE, N = Eager(CPU), 4000


class Logistic(Joint):
    """p(y = 1 | x) = σ(a x₀)."""

    def __init__(self, a: float) -> None:
        super().__init__(2)
        self.a = a

    def logits(self, x: Tensor) -> Tensor:
        half = self.a * x[:, 0] / 2
        return torch.stack([-half, half], 1)


def data(a: float) -> Dataset:
    """x uniform on [−1, 1]², labels drawn from σ(a x₀)."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(N, 2, generator=g) * 2 - 1
    y = (torch.rand(N, generator=g) < (a * x[:, 0]).sigmoid()).long()
    return Dataset(
        name="logistic", domain=Domain(-1.0, 1.0, (2,)), train=x[:10], test=x, train_labels=y[:10], test_labels=y,
        n_classes=2,
    )  # fmt: skip


@pytest.mark.parametrize("a", [1.0, 4.0])
def test_accuracy_and_calibration(a: float) -> None:
    """The true classifier is calibrated, and right with the mean of σ(a |x|) = log cosh(a/2)/(a/2)/2 + ½."""
    energy, labelled = Logistic(a), data(a)
    values = scored(Classes(labelled, ENGINE, 10, classifies=True), energy)
    expected = 0.5 + math.log(math.cosh(a / 2)) / a
    error = math.sqrt(expected * (1 - expected) / N)
    assert abs(values["accuracy"] - expected) < 5 * error
    assert values["accuracy_se"] == pytest.approx(error, rel=0.05)
    assert values["ece"] < 5 * math.sqrt(15 / N / 4)
    # Twice as sure as it may be: ECE is the mean of σ(2a|x|) − σ(a|x|).
    sure = scored(Classes(labelled, ENGINE, 10, classifies=True), Logistic(2 * a))
    twice = 0.5 + math.log(math.cosh(a)) / (2 * a)
    assert sure["accuracy"] == values["accuracy"]
    assert sure["ece"] == pytest.approx(twice - expected, abs=5 * error)


def test_accuracy_under_attack() -> None:
    """In L∞ and in L2 the class changes where x₀ = 0: points within the radius of it fall, those beyond stand."""
    a = 4.0
    labelled, energy = data(a), Logistic(a)
    evaluator = Classes(labelled, ENGINE, N, (16, 64), (32,), classifies=True)
    values = scored(evaluator, energy)
    x, right = labelled.test()[:, 0], energy.logits(labelled.test()).argmax(1) == labelled.test_labels
    for name, levels in (("linf_16", 16), ("linf_64", 64), ("l2_32", 32)):
        stands = right & (x.abs() > levels * 2 / 255)
        assert values[f"accuracy_{name}"] == pytest.approx(float(stands.float().mean()), abs=2e-3)
        assert values[f"accuracy_{name}"] < values["accuracy"]
    assert set(evaluator.gives()) == {name for name in values if not name.endswith("_se")}


def test_a_conditional_energy_has_classes_too() -> None:
    labelled, energy = data(4.0), Logistic(4.0)
    joint = scored(Classes(labelled, ENGINE, 200, classifies=True), energy)
    conditional = scored(Classes(labelled, ENGINE, 200, conditional=True), Labelled(energy))
    assert conditional == pytest.approx(joint, abs=1e-6)
    half = scored(Classes(labelled, ENGINE, 10, conditional=True, temperature=0.5), Labelled(Logistic(2.0)))
    assert half["ece"] == pytest.approx(joint["ece"], abs=1e-6)


def test_a_nan_is_no_class() -> None:
    energy = Logistic(math.nan)
    values = scored(Classes(data(1.0), ENGINE, 10, classifies=True), energy)
    assert len(values) == 8
    assert all(math.isnan(value) for value in values.values())


def test_what_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"energy=joint, or energy.conditional=true; remove it with ~evaluator.classes"
    ):
        Classes(Synthetic("images", CPU, 0), ENGINE)
    with pytest.raises(UserError, match=r"evaluator\.classes: classes needs an energy that knows them"):
        build(composed("evaluator=classes", "optimized_metric=null"))
    with pytest.raises(ValueError, match="and T is 0 here"):
        Classes(data(1.0), ENGINE, conditional=True, temperature=0.0)
