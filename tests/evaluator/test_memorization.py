import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ebm_exp.dataset import Digits
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import MLP, Gaussian
from ebm_exp.evaluator import Memorization, Model
from ebm_exp.evaluator import features as module
from ebm_exp.evaluator.memorization import PANEL, probability_nearer, share_near
from ebm_exp.types import Points
from tests.evaluator.scoring import scored

energy = Gaussian((2,))  # not called


def dataset(train: Tensor, test: Tensor) -> Dataset:
    return Dataset(name="made up", domain=Domain(-99, 99, tuple(train.shape[1:])), train=train, test=test)


def normal(n: int, d: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_it_is_what_loops_find(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test, x = normal(40), normal(30, seed=1), 0.8 * normal(30, seed=2)

    def nearest(points: Tensor) -> np.ndarray:
        return np.array([min(math.dist(p, t) for t in train.tolist()) for p in points.tolist()])

    of_x, of_test = nearest(x), nearest(test)
    truth = np.r_[np.ones(30), np.zeros(30)]
    for block in (module.BLOCK, 7):
        monkeypatch.setattr(module, "BLOCK", block)
        found = scored(Memorization(dataset(train, test), 30), energy, x)
        assert found["memorization_auc"] == pytest.approx(roc_auc_score(truth, -np.r_[of_x, of_test]))
        assert found["memorization_share"] == pytest.approx((of_x < np.quantile(of_test, 0.05)).mean())


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_values_and_errors_of_distances_of_known_distributions(shift: float) -> None:
    """Normal distances: P(d < d′) = Φ(−shift/√2), share = Φ(Φ⁻¹(.05) − shift)."""
    cdf = torch.distributions.Normal(0.0, 1.0)
    exact = (
        float(cdf.cdf(cdf.icdf(torch.tensor(0.05)) - shift)),
        float(cdf.cdf(torch.tensor(-shift / math.sqrt(2)))),
    )
    g, repeats, found = torch.Generator().manual_seed(0), 600, []
    for _ in range(repeats):
        held_out = torch.randn(400, generator=g).double()
        x = torch.randn(300, generator=g).double() + shift
        found.append((share_near(x, held_out), probability_nearer(x, held_out)))
    for scores, expected in zip(zip(*found, strict=True), exact, strict=True):
        values = np.array([score.value for score in scores])
        assert abs(values.mean() - expected) < 5 * values.std(ddof=1) / math.sqrt(repeats) + 0.003  # of the quantile
        error = math.sqrt(np.mean([score.se**2 for score in scores]))
        assert error == pytest.approx(values.std(ddof=1), rel=5 / math.sqrt(2 * repeats))


def test_copies_and_points_far_away() -> None:
    train = normal(200)
    evaluator = Memorization(dataset(train, normal(100, seed=1)), 100)
    copies = scored(evaluator, energy, train[50:150])
    assert copies["memorization_share"] == copies["memorization_auc"] == 1
    far = scored(evaluator, energy, train[:100] + 50)
    assert far["memorization_share"] == far["memorization_auc"] == 0
    new = scored(evaluator, energy, normal(100, seed=2))
    assert abs(new["memorization_auc"] - 0.5) < 5 * new["memorization_auc_se"]
    assert abs(new["memorization_share"] - 0.05) < 5 * new["memorization_share_se"]


def test_equal_distances_count_by_half() -> None:
    """Of points of two levels many distances are equal: the digits of a matrix product must not tell them apart."""
    g = torch.Generator().manual_seed(0)
    train, test = (torch.randint(0, 2, (n, 30), generator=g).float() * 1.8 - 0.9 for n in (300, 100))
    found = scored(Memorization(dataset(train, test), 100), energy, test.roll(7, 0))
    assert found["memorization_auc"] == 0.5
    assert found["memorization_share"] <= 0.05


def test_neighbours_are_shown_beside_the_nearest_samples() -> None:
    train = torch.arange(100.0)[:, None].expand(100, 4).reshape(100, 1, 2, 2) / 2
    x = train[:40] + torch.linspace(0.2, 0.001, 40).view(-1, 1, 1, 1)
    evaluator = Memorization(dataset(train, train[:10] + 0.1), 40)
    panel = evaluator.panels(Model.of(energy, Points(x)))[PANEL]
    rows = panel.x.view(8, 8, 1, 2, 2)
    assert torch.equal(rows[:, 0], x[32:].flip(0))  # nearest first
    first = (rows[0, 1:, 0, 0, 0] * 2).tolist()
    assert first == [39, 40, 38, 41, 37, 42, 36]
    assert evaluator.panels(Model.of(energy, Points(x * math.nan))) == {}


def test_rows_are_shown_as_two_sets() -> None:
    train = normal(40)
    x = train + torch.linspace(0.2, 0.001, 40).view(-1, 1)
    panels = Memorization(dataset(train, train[:10]), 40).panels(Model.of(energy, Points(x)))
    near, shown = (points.x for points in panels.values())
    assert (next(iter(panels)), len(near)) == ("nearest training points", 8)
    assert torch.equal(near[0], train[39])
    assert torch.equal(shown[0], x[39])


def test_real_digits_are_neither_copies_nor_far() -> None:
    digits = Digits("digits", torch.device("cpu"), test_share=0.3)
    evaluator = Memorization(digits, 200)
    assert evaluator.protocol == (
        "pixels features, nearest of 1,258 training points, 200 samples against 200 of the test split"
    )
    found = scored(evaluator, MLP((1, 8, 8), (4,)), digits.test()[::2][:200])
    assert abs(found["memorization_auc"] - 0.5) < 0.1
    assert found["memorization_share"] < 0.12


def test_data_that_hold_nothing_out_are_refused() -> None:
    digits = Digits("digits", torch.device("cpu"), test_share=0.0)
    with pytest.raises(ValueError, match="memorization needs held-out points, digits has none"):
        Memorization(digits, 10)
    with pytest.raises(ValueError, match="must be at least 2, got 10 and 1"):
        Memorization(dataset(normal(10), normal(1)), 10)
