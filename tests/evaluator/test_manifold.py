import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Gaussian
from ebm_exp.evaluator import Manifold
from ebm_exp.evaluator import manifold as module
from tests.evaluator.scoring import scored

energy = Gaussian((2,))  # not called


def dataset(train: Tensor) -> Dataset:
    return Dataset(name="made up", domain=Domain(-99, 99, tuple(train.shape[1:])), train=train, test=train[:4])


def by_loops(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    def radius(points: np.ndarray, i: int) -> float:
        return sorted(math.dist(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    of_real, of_fake = ([radius(each, i) for i in range(len(each))] for each in (real, fake))
    inside = np.array([[math.dist(f, r) <= of_real[i] for i, r in enumerate(real)] for f in fake])
    around = np.array([[math.dist(f, r) <= of_fake[j] for r in real] for j, f in enumerate(fake)])
    return {
        "precision_pixels": inside.any(1).mean(),
        "precision_pixels_se": inside.any(1).std(ddof=1) / math.sqrt(len(fake)),
        "recall_pixels": around.any(0).mean(),
        "density_pixels": inside.sum() / (k * len(fake)),
        "density_pixels_se": (inside.sum(1) / k).std(ddof=1) / math.sqrt(len(fake)),
        "coverage_pixels": inside.any(0).mean(),
    }


@pytest.mark.parametrize("k", [1, 3])
def test_it_is_what_loops_find(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(0)
    real, fake = torch.randn(25, 1, 2, 2, generator=g), 0.7 * torch.randn(25, 1, 2, 2, generator=g) + 0.3
    expected = by_loops(real.flatten(1).double().numpy(), fake.flatten(1).double().numpy(), k)
    assert len(set(expected.values())) == 6  # nothing is trivial
    for block in (module.BLOCK, 4):
        monkeypatch.setattr(module, "BLOCK", block)
        found = scored(Manifold(dataset(real), 25, k=k), energy, fake)
        assert found == {name: pytest.approx(value, rel=1e-9) for name, value in expected.items()}


def test_samples_of_the_data_s_own_distribution() -> None:
    """Density is 1 on average, coverage 1 − (n − 1)…(n − k)/((m + n − 1)…(m + n − k))."""
    n, k, repeats = 60, 3, 200
    g, found = torch.Generator().manual_seed(0), []
    for _ in range(repeats):
        y, x = torch.randn(2, n, 2, generator=g)
        found.append(scored(Manifold(dataset(y), n, k=k), energy, x))
    coverage = 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    for name, expected in (("density_pixels", 1), ("coverage_pixels", coverage)):
        values = np.array([each[name] for each in found])
        assert abs(values.mean() - expected) < 5 * values.std(ddof=1) / math.sqrt(repeats), name
    precision, recall = (np.mean([each[name] for each in found]) for name in ("precision_pixels", "recall_pixels"))
    assert abs(precision - recall) < 0.02  # either set may be the data


def test_standard_errors_are_those_with_this_reference() -> None:
    n, repeats = 60, 200
    g = torch.Generator().manual_seed(0)
    evaluator = Manifold(dataset(torch.randn(n, 2, generator=g)), n, k=2)
    found = [scored(evaluator, energy, torch.randn(n, 2, generator=g) + 0.5) for _ in range(repeats)]
    for name in ("precision_pixels", "density_pixels"):
        spread = np.std([each[name] for each in found], ddof=1)
        error = math.sqrt(np.mean([each[f"{name}_se"] ** 2 for each in found]))
        assert abs(error / spread - 1) < 5 / math.sqrt(2 * repeats)


def test_identical_and_separate_sets() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    evaluator = Manifold(dataset(x), 50)
    same, apart = scored(evaluator, energy, x), scored(evaluator, energy, x + 50)
    for name in evaluator.gives():
        assert same[name] == pytest.approx(6 / 5 if "density" in name else 1)  # each lies in its own ball too
        assert apart[name] == 0


def test_lost_modes_are_seen_in_recall_and_coverage_alone() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=g)
    x[::2, 0] += 20
    found = scored(Manifold(dataset(x), 400), energy, torch.randn(400, 2, generator=g))
    assert found["precision_pixels"] > 0.9
    assert found["recall_pixels"] < 0.6
    assert found["coverage_pixels"] < 0.6
    assert found["density_pixels"] > 0.8


def test_the_reference_has_as_many_points_as_there_are_samples() -> None:
    evaluator = Manifold(dataset(torch.randn(100, 2)), 30)
    assert evaluator.protocol == "pixels features, k = 5, 30 samples against 30 points of the train split"
    scored(evaluator, energy, torch.randn(30, 2))
    assert len(evaluator._reference[0]) == 30


def test_refuses_too_many_neighbours() -> None:
    with pytest.raises(ValueError, match=r"k must be below .*, got 5 with 5 samples and 100 points of the train"):
        Manifold(dataset(torch.randn(100, 2)), 5)
    with pytest.raises(ValueError, match="got 4 with 50 samples and 4 points of the test"):
        Manifold(dataset(torch.randn(100, 2)), 50, reference="test", k=4)
    with pytest.raises(ValueError, match="k must be below the number of samples, got 5 with 5"):
        scored(Manifold(dataset(torch.randn(100, 2)), 50), energy, torch.randn(5, 2))
