import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Gaussian
from ebm_exp.evaluator import Frechet
from ebm_exp.evaluator import features as module
from tests.evaluator.scoring import scored

energy = Gaussian((2,))  # not called


def dataset(train: Tensor, test: Tensor | None = None) -> Dataset:
    test = train[:1] if test is None else test
    domain = Domain(-99, 99, tuple(train.shape[1:]))
    data = Dataset(name="made up", domain=domain, train=train.float(), test=test.float())
    data._train, data._test = train, test  # float64 for digits that float32 has not; training refuses it
    return data


def exact_moments(n: int, mean: np.ndarray, covariance: np.ndarray, seed: int) -> Tensor:
    """n points whose own mean and (n − 1) covariance are the given ones, to rounding."""
    z = np.random.default_rng(seed).standard_normal((n, len(mean)))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    return torch.from_numpy(z @ np.linalg.cholesky(covariance).T + mean)


def closed_form(m1: np.ndarray, s1: np.ndarray, m2: np.ndarray, s2: np.ndarray) -> float:
    return float(((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * np.real(sqrtm(s1 @ s2))))


def random_covariance(d: int, seed: int) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((d, 2 * d))
    return a @ a.T / (2 * d)


def test_between_gaussians_it_is_the_closed_form() -> None:
    d = 6
    m1, m2 = np.linspace(-1, 1, d), np.linspace(0.5, -0.2, d)
    s1, s2 = random_covariance(d, 0), random_covariance(d, 1)
    x, y = exact_moments(400, m1, s1, 2), exact_moments(300, m2, s2, 3)
    expected = closed_form(m1, s1, m2, s2)
    assert expected > 1
    assert scored(Frechet(dataset(y), 400), energy, x) == {"frechet_pixels": pytest.approx(expected, rel=1e-9)}
    as_float32 = scored(Frechet(dataset(y.float()), 400), energy, x.float())
    assert as_float32["frechet_pixels"] == pytest.approx(expected, rel=1e-5)


def test_a_shift_and_a_scale_in_plain_numbers() -> None:
    """N(0, I) against N(m, s²I): |m|² + d (s − 1)²."""
    x = exact_moments(100, np.zeros(2), np.eye(2), 0)
    y = exact_moments(100, np.array([3.0, 4.0]), 4 * np.eye(2), 1)
    assert scored(Frechet(dataset(y), 100), energy, x)["frechet_pixels"] == pytest.approx(27)


def test_identical_sets_are_at_zero_even_where_pixels_never_change() -> None:
    x = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x[:, :, 0] = -1  # a constant row, and fewer points than pixels: a singular covariance
    assert scored(Frechet(dataset(x), 50), energy, x)["frechet_pixels"] == pytest.approx(0, abs=1e-5)


def test_random_samples_agree_within_their_error() -> None:
    """d² of two samples of one distribution is about its bias: tr Σ/n · (1 + (d + 1)/4), to first order in 1/n."""
    n, d, repeats = 500, 3, 60
    g = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(n, d, generator=g)  # noqa: E731
    values = np.array([scored(Frechet(dataset(draw()), n), energy, draw())["frechet_pixels"] for _ in range(repeats)])
    # |difference of means|²: 2d/n; of roots of covariances, for Σ = I: Σᵢⱼ Var(Δᵢⱼ)/4 = 2·d(d + 1)/(4n).
    expected = 2 * d / n + d * (d + 1) / (2 * n)
    assert abs(values.mean() - expected) < 5 * values.std(ddof=1) / math.sqrt(repeats) + 0.02 * expected


def test_the_reference_is_read_once_and_from_its_split(monkeypatch: pytest.MonkeyPatch) -> None:
    train = exact_moments(40, np.zeros(2), np.eye(2), 0)
    data = dataset(train, test=train + 2)
    reads: list[str] = []
    blocks = data.blocks
    monkeypatch.setattr(data, "blocks", lambda split, size: reads.append(split) or blocks(split, size))
    first, second = Frechet(data, 40), Frechet(data, 40, reference="test")
    assert reads == []
    values = [scored(first, energy, train + shift)["frechet_pixels"] for shift in (0.0, 1.0, 0.0, 3.0)]
    assert values == pytest.approx([0, 2, 0, 18], abs=1e-6)
    assert scored(second, energy, train)["frechet_pixels"] == pytest.approx(8)
    assert reads == ["train", "test"]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)).double()
    whole = scored(Frechet(dataset(y), 50), energy, x)["frechet_pixels"]
    monkeypatch.setattr(module, "BLOCK", 7)
    assert scored(Frechet(dataset(y), 50), energy, x)["frechet_pixels"] == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_gives_nan(value: float) -> None:
    x = torch.randn(10, 2)
    x[3, 1] = value
    assert math.isnan(scored(Frechet(dataset(torch.randn(10, 2)), 10), energy, x)["frechet_pixels"])


def test_refuses_what_it_cannot_compare() -> None:
    data = dataset(torch.randn(10, 2))
    with pytest.raises(ValueError, match="n_samples must be at least 2"):
        Frechet(data, 1)
    with pytest.raises(ValueError, match="the test split has 1"):
        Frechet(data, 10, reference="test")
    for samples in (torch.randn(1, 2), torch.randn(10, 3), torch.randn(10, 1, 2)):
        with pytest.raises(ValueError, match="at least 2 of shape"):
            scored(Frechet(data, 10), energy, samples)


def test_large_images_are_compared_by_their_means() -> None:
    """3×32×32 has too many components: averaged over 2×2 pixels, the distance is that of the averaged images."""
    g = torch.Generator().manual_seed(0)
    train, samples = (torch.rand(40, 3, 32, 32, generator=g) for _ in range(2))
    large = Frechet(dataset(train), 40)
    assert large.protocol == "pixels features (means over 2×2), 40 samples against the train split"
    means = [x.unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5)) for x in (train, samples)]
    small = Frechet(dataset(means[0]), 40)
    assert "means" not in small.protocol
    expected = scored(small, energy, means[1])["frechet_pixels"]
    assert scored(large, energy, samples)["frechet_pixels"] == pytest.approx(expected, rel=1e-5)
