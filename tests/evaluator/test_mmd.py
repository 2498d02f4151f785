import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Gaussian
from ebm_exp.evaluator import MMD
from ebm_exp.evaluator import mmd as module
from tests.evaluator.scoring import scored

energy = Gaussian((2,))  # not called


def dataset(test: Tensor) -> Dataset:
    domain = Domain(-99, 99, tuple(test.shape[1:]))
    data = Dataset(name="made up", domain=domain, train=test[:2].float(), test=test.float())
    data._test = test  # float64 for digits that float32 has not; training refuses it
    return data


def gaussian_kernel_mean(shift: float, variances: float, sigma: float, d: int) -> float:
    """E k(x, y) for independent Gaussians, x − y ~ N(m, v·I) with |m| = shift and v = s₁² + s₂²."""
    return (sigma**2 / (sigma**2 + variances)) ** (d / 2) * math.exp(-(shift**2) / (2 * (sigma**2 + variances)))


def repeated(n: int, m: int, repeats: int, shift: float, s: float, bandwidths: tuple[float, ...]) -> np.ndarray:
    g = torch.Generator().manual_seed(1)
    values = []
    for _ in range(repeats):
        x = torch.randn(n, 2, generator=g)
        y = torch.randn(m, 2, generator=g) * s
        y[:, 0] += shift
        values.append(scored(MMD(dataset(y), n, bandwidths), energy, x)["mmd2"])
    return np.array(values)


def z_score(values: np.ndarray, expected: float) -> float:
    return float((values.mean() - expected) / (values.std(ddof=1) / math.sqrt(len(values))))


@pytest.mark.parametrize(("n", "m"), [(20, 20), (30, 10)])
def test_equal_laws_have_mean_zero(n: int, m: int) -> None:
    values = repeated(n, m, 600, shift=0, s=1, bandwidths=(0.5, 1.0))
    assert abs(z_score(values, 0)) < 5
    assert (values < 0).mean() > 0.3  # unbiased: it does go below zero
    # Sharp enough to see the biased estimate, which adds (1 − E k)(1/n + 1/m), E k ≈ 0.2.
    assert 5 * values.std() / math.sqrt(600) < 0.2 * (1 / n + 1 / m)


def test_two_gaussians_have_the_closed_form() -> None:
    shift, s, bandwidths = 0.7, 1.5, (0.4, 1.0, 2.5)
    k = [[gaussian_kernel_mean(a, v, b, 2) for a, v in ((0, 2), (0, 2 * s**2), (shift, 1 + s**2))] for b in bandwidths]
    expected = float(np.mean([xx + yy - 2 * xy for xx, yy, xy in k]))
    assert expected > 0.02
    values = repeated(60, 50, 400, shift, s, bandwidths)
    assert abs(z_score(values, expected)) < 5
    assert values.std() / math.sqrt(400) < 0.05 * expected


def test_equals_the_double_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(9, 1, 2, 2, generator=g), torch.randn(7, 1, 2, 2, generator=g) + 0.5
    a, b = x.flatten(1).double().numpy(), y.flatten(1).double().numpy()

    def mean(u: np.ndarray, v: np.ndarray, sigma: float, same: bool) -> float:
        pairs = [(i, j) for i in range(len(u)) for j in range(len(v)) if not (same and i == j)]
        return float(np.mean([math.exp(-((u[i] - v[j]) ** 2).sum() / (2 * sigma**2)) for i, j in pairs]))

    sigmas = (0.5, 2.0)
    terms = [mean(a, a, s, True) + mean(b, b, s, True) - 2 * mean(a, b, s, False) for s in sigmas]
    for block in (module.BLOCK, 4):
        monkeypatch.setattr(module, "BLOCK", block)
        assert scored(MMD(dataset(y), 9, sigmas), energy, x) == {"mmd2": pytest.approx(float(np.mean(terms)), rel=1e-9)}


def test_small_bandwidths_far_from_the_origin_keep_their_digits() -> None:
    """Distances of 1e-2 at coordinates of 8: a float32 matrix product would round them away."""
    g = torch.Generator().manual_seed(0)
    x, y = (0.01 * torch.randn(2, 100, 2, generator=g).double()).unbind()
    near = scored(MMD(dataset(y), 100, (0.01,)), energy, x)["mmd2"]
    far = scored(MMD(dataset(y + 8), 100, (0.01,)), energy, x + 8)["mmd2"]
    assert far == pytest.approx(near, rel=1e-6, abs=1e-9)


def test_bandwidths_follow_from_the_median_distance() -> None:
    g = torch.Generator().manual_seed(0)
    y, x = torch.randn(101, 3, generator=g), torch.randn(40, 3, generator=g)
    d = np.array([np.linalg.norm(y[i].double() - y[j].double()) for i in range(101) for j in range(i)])
    assert len(d) % 2 == 0
    median = float(np.sort(d)[len(d) // 2 - 1])  # the lower of the two middle ones, as torch takes it
    given = scored(MMD(dataset(y), 40, tuple(m * median for m in (0.25, 0.5, 1.0, 2.0))), energy, x)
    assert scored(MMD(dataset(y), 40), energy, x)["mmd2"] == pytest.approx(given["mmd2"], rel=1e-9)
    with pytest.raises(ValueError, match="the median distance of the test points is 0"):
        scored(MMD(dataset(torch.zeros(10, 3)), 40), energy, x)


def test_the_reference_is_prepared_once_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    y = torch.arange(100.0)[:, None]
    evaluator = MMD(dataset(y), 10, (1.0,))
    monkeypatch.setattr(module, "N_REFERENCE", 12)
    picked = evaluator._test_points().flatten()
    assert picked.tolist() == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    first = scored(evaluator, energy, y[:10])
    monkeypatch.setattr(evaluator, "_test_points", lambda: pytest.fail("read twice"))
    assert scored(evaluator, energy, y[:10]) == first


def test_not_a_number_stays_one() -> None:
    x = torch.randn(10, 2)
    x[3, 1] = math.nan
    assert math.isnan(scored(MMD(dataset(torch.randn(10, 2)), 10), energy, x)["mmd2"])


def test_refuses_what_it_cannot_compare() -> None:
    data = dataset(torch.randn(10, 2))
    with pytest.raises(ValueError, match="n_samples must be at least 2"):
        MMD(data, 1)
    for bandwidths in ((), (1.0, 0.0), (-1.0,)):
        with pytest.raises(ValueError, match="bandwidths must be one or more positive"):
            MMD(data, 10, bandwidths)
    with pytest.raises(ValueError, match="the test split must hold at least 2"):
        MMD(dataset(torch.randn(1, 2)), 10)
    with pytest.raises(ValueError, match="at least 2 of shape"):
        scored(MMD(data, 10), energy, torch.randn(10, 3))
