"""One density that is carried through all times solves the equation of continuity; others by how much they do not."""

import pytest
import torch
from torch import Tensor

from ebm_exp.noise import NoiseProcess
from ebm_exp.noise.continuity import EXACT, residuals
from tests.noise.exact import CPU, Exact, mixture, processes


def found(noise: NoiseProcess, energy: Exact, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Times, and the residuals there, twice."""
    g = torch.Generator().manual_seed(0)
    t = noise.sample_wide(n, g, CPU).double()
    data = energy.truth.sample(n, g).double()
    y = noise.perturb(data, t, torch.randn(data.shape, generator=g).double())
    return t, *residuals(noise, energy, y, t, g)


@pytest.mark.parametrize("name", ["flow", "edm"])
@pytest.mark.parametrize("d", [2, EXACT + 1])
def test_it_vanishes_for_one_gaussian_and_is_the_rate_of_a_constant(name: str, d: int) -> None:
    """A round Gaussian has a curvature that is the same along every probe: its trace is exact in any dimension."""
    data = mixture(d, n_modes=1, means=None, stds=0.4, weights=None)
    noise = processes(data)[name]
    _, one, two = found(noise, Exact(noise, data), 60)
    for each in (one, two):
        torch.testing.assert_close(each, torch.zeros_like(each), atol=1e-7, rtol=0)
    t, one, two = found(noise, Exact(noise, data, shift=lambda t: t.square()), 60)
    shift = 2 * t * noise.pace(t) / d  # what depends on time alone moves no point
    for each in (one, two):
        torch.testing.assert_close(each, shift, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", ["flow", "edm"])
def test_it_vanishes_for_a_mixture(name: str) -> None:
    data = mixture(3)
    noise = processes(data)[name]
    _, one, _ = found(noise, Exact(noise, data), 60)
    torch.testing.assert_close(one, torch.zeros_like(one), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["flow", "edm"])
def test_probes_are_right_in_the_mean_and_independent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = mixture(4)
    noise = processes(data)[name]
    energy = Exact(noise, mixture(4, modes_seed=1), shift=lambda t: t)
    _, exact, same = found(noise, energy, 4000)
    assert (exact == same).all()
    monkeypatch.setattr("ebm_exp.noise.continuity.EXACT", 0)
    _, one, two = found(noise, energy, 4000)
    for each in (one, two):
        error = each - exact
        assert error.std() > 0
        assert abs(error.mean()) < 4 * error.std() / 4000**0.5
    product = one * two - exact.square()
    assert abs(product.mean()) < 4 * product.std() / 4000**0.5
