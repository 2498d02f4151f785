import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Gaussian
from ebm_exp.evaluator import KID
from ebm_exp.random import seed_global
from tests.evaluator.scoring import scored

energy = Gaussian((2,))  # not called


def dataset(train: Tensor) -> Dataset:
    return Dataset(name="made up", domain=Domain(-99, 99, tuple(train.shape[1:])), train=train, test=train[:4])


def kernel(u: np.ndarray, v: np.ndarray) -> float:
    return (float(u @ v) / len(u) + 1) ** 3


def test_it_is_the_double_sum_over_the_same_subsets() -> None:
    g = torch.Generator().manual_seed(0)
    y, x, m, subsets = torch.randn(15, 3, generator=g), torch.randn(12, 3, generator=g) + 0.5, 5, 4
    values = []
    with seed_global("kid", 0):
        for _ in range(subsets):
            a = y[torch.randperm(15)[:m]].double().numpy()
            b = x[torch.randperm(12)[:m]].double().numpy()
            within = [kernel(s[i], s[j]) for s in (a, b) for i in range(m) for j in range(m) if i != j]
            across = [kernel(a[i], b[j]) for i in range(m) for j in range(m)]
            values.append(sum(within) / (m * (m - 1)) - 2 * np.mean(across))
    se = np.std(values, ddof=1) * math.sqrt(m / (12 - m) + 1 / subsets)
    found = scored(KID(dataset(y), 12, subsets=subsets, subset_size=m), energy, x)
    assert found == {
        "kid_pixels": pytest.approx(np.mean(values), rel=1e-9),
        "kid_pixels_se": pytest.approx(se, rel=1e-9),
    }


def moments(mean: float, s: float) -> tuple[float, float, float]:
    return mean, mean**2 + s**2, mean**3 + 3 * mean * s**2


def mean_kernel(u: tuple[float, float, float], v: tuple[float, float, float]) -> float:
    """E (xy + 1)³ of independent numbers by their first three moments."""
    return u[2] * v[2] + 3 * u[1] * v[1] + 3 * u[0] * v[0] + 1


@pytest.mark.parametrize(("shift", "s", "too_wide"), [(0.0, 1.0, 4.0), (0.4, 1.2, 1.6)])
def test_between_gaussians_it_is_the_closed_form_within_its_error(shift: float, s: float, too_wide: float) -> None:
    n, m, repeats = 80, 100, 120
    g, values, errors = torch.Generator().manual_seed(1), [], []
    for _ in range(repeats):
        y, x = torch.randn(m, 1, generator=g), shift + s * torch.randn(n, 1, generator=g)
        found = scored(KID(dataset(y), n, subsets=40), energy, x)
        values.append(found["kid_pixels"])
        errors.append(found["kid_pixels_se"])
    p, q = moments(0, 1), moments(shift, s)
    expected = mean_kernel(p, p) + mean_kernel(q, q) - 2 * mean_kernel(p, q)
    spread = float(np.std(values, ddof=1))
    assert abs(np.mean(values) - expected) < 5 * spread / math.sqrt(repeats)
    assert 0.8 < math.sqrt(np.mean(np.square(errors))) / spread < too_wide  # wide at 0, where it is degenerate
    if shift:
        assert expected > 5 * spread / math.sqrt(repeats)
    else:
        assert min(values) < 0  # unbiased


def test_equal_calls_give_equal_numbers_and_leave_the_global_generator() -> None:
    g = torch.Generator().manual_seed(0)
    y, x = torch.randn(60, 2, generator=g), torch.randn(40, 2, generator=g)
    torch.manual_seed(1)
    before, evaluator = torch.get_rng_state(), KID(dataset(y), 40)
    first = scored(evaluator, energy, x)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert scored(evaluator, energy, x) == scored(KID(dataset(y), 40), energy, x) == first


def test_subsets_are_at_most_half_of_the_smaller_set(caplog: pytest.LogCaptureFixture) -> None:
    evaluator = KID(dataset(torch.randn(30, 2)), 100)
    assert evaluator.subset_size == 15
    said = "pixels features, cubic kernel, 100 subsets of 15 of 100 samples against 30 points of the train split"
    assert evaluator.protocol == said
    assert not caplog.records
    assert KID(dataset(torch.randn(30, 2)), 100, subset_size=1000).subset_size == 15
    assert "subset_size: 15 instead of 1,000, half of the smaller set (100 samples, 30 points" in caplog.text
    with pytest.raises(ValueError, match="20 samples are too few for subsets of 15"):
        scored(evaluator, energy, torch.randn(20, 2))


def test_refuses_what_it_cannot_compare() -> None:
    data = dataset(torch.randn(10, 2))
    with pytest.raises(ValueError, match="n_samples must be at least 4"):
        KID(data, 3)
    with pytest.raises(ValueError, match="the train split has 3"):
        KID(dataset(torch.randn(3, 2)), 10)
    with pytest.raises(ValueError, match="subsets and subset_size must be at least 2, got 1 and 5"):
        KID(data, 10, subsets=1, subset_size=5)
