"""Energies of known distribution: their normaliser, their samples, and what training makes of them."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from ebm_exp.energy import Analytic, DoubleWell, Funnel, Gaussian, Mixture, Ring
from ebm_exp.energy.base import energy_gradient
from ebm_exp.random import generator

PLANE = {
    "gaussian": Gaussian((2,), 0.3, 0.8),
    "correlated": Gaussian((2,), -0.2, 0.7, correlation=0.8),
    "mixture": Mixture((2,), ((-1.0, 0.5), (1.0, 0.0), (0.0, 1.0)), 0.4, (1.0, 2.0, 3.0)),
    "double_well": DoubleWell((2,), 3.0, 1.2),
    "ring": Ring((2,), 2.0, 0.3),
    "wide ring": Ring((2,), 0.2, 1.0),
    "funnel": Funnel((2,), 1.0),
}


@pytest.mark.parametrize("energy", PLANE.values(), ids=PLANE)
def test_log_z_is_the_integral(energy: Analytic) -> None:
    axis_x = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    axis_y = torch.linspace(-60, 60, 12001, dtype=torch.float64) if isinstance(energy, Funnel) else axis_x
    total = 0.0
    with torch.no_grad():
        for x in axis_x:
            points = torch.stack([x.expand(len(axis_y)), axis_y], 1)
            total += float(torch.trapezoid((-energy(points).double()).exp(), axis_y)) * float(axis_x[1] - axis_x[0])
        assert math.log(total) == pytest.approx(float(energy.log_z), abs=1e-4)


@pytest.mark.parametrize("energy", PLANE.values(), ids=PLANE)
def test_autocast_changes_no_digit(energy: Analytic) -> None:
    x = torch.randn(20, 2, generator=generator("cpu", 0))
    with torch.no_grad():
        e, gradient = energy_gradient(energy, x)
        with torch.autocast("cpu", torch.bfloat16):
            e_there, gradient_there = energy_gradient(energy, x)
    assert e_there.dtype == torch.float32
    assert torch.equal(e_there, e)
    assert torch.equal(gradient_there, gradient)


def distribution(energy: Analytic) -> torch.distributions.Distribution:
    if isinstance(energy, Gaussian):
        lag, std = torch.arange(energy.d), energy.log_std.exp()
        rho = energy.atanh_correlation.tanh()
        return MultivariateNormal(energy.mean, rho ** (lag[:, None] - lag).abs() * torch.outer(std, std))
    assert isinstance(energy, Mixture)
    return MixtureSameFamily(
        Categorical(logits=energy.logits), Independent(Normal(energy.centres, energy.log_std.exp().unsqueeze(1)), 1)
    )


@pytest.mark.parametrize(
    "energy",
    [
        Gaussian((5,), 1.0, 0.5, correlation=-0.6),
        Gaussian((1, 2, 3), 0.0, (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)),
        PLANE["mixture"],
        Mixture((2,), ((0.0, 0.0), (1.0, 1.0)), (0.3, 1.0)),
    ],
    ids=["correlated, 5", "shaped", "mixture", "two widths"],
)
@torch.no_grad()
def test_it_is_the_density_torch_knows(energy: Analytic) -> None:
    x = energy.sample(50, generator("cpu", 0))
    assert x.shape == (50, *energy.event_shape)
    torch.testing.assert_close(energy.log_prob(x), distribution(energy).log_prob(x.flatten(1)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("energy", PLANE.values(), ids=PLANE)
@torch.no_grad()
def test_samples_have_the_law(energy: Analytic) -> None:
    """Shares of 40×40 cells against the integral of exp(−E)/Z, by the chi-square of the cells that expect ≥ 20."""
    n, cells = 100_000, 40
    x = energy.sample(n, generator("cpu", "samples"))
    edges = torch.linspace(-4, 4, cells + 1)
    found = torch.histogramdd(x.clamp(-5, 5), [edges, edges]).hist
    fine = 8  # midpoints per cell and side
    middle = (torch.arange(cells * fine) + 0.5) * (8 / (cells * fine)) - 4
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2)
    p = (-energy(points) - energy.log_z).double().exp().view(cells, fine, cells, fine).mean((1, 3)) * (8 / cells) ** 2
    expected = n * p
    kept = expected >= 20
    chi2, k = float(((found - expected).square() / (expected * (1 - p)))[kept].sum()), int(kept.sum())
    assert k > 50
    assert abs(chi2 - k) < 5 * math.sqrt(2 * k) + 0.02 * k  # the midpoint rule is good to a per cent


def test_gradients_and_double_backward() -> None:
    for energy in PLANE.values():
        x = energy.sample(16, generator("cpu", 1)).requires_grad_()
        (gradient,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
        gradient.square().sum().backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in energy.parameters())
        assert x.grad.isfinite().all()


def test_no_slope_in_the_middle_of_a_ring_or_a_well() -> None:
    for energy, at in ((Ring((3,)), torch.zeros(1, 3)), (DoubleWell((2,)), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))):
        x = at.requires_grad_()
        (gradient,) = torch.autograd.grad(energy(x).sum(), x)
        assert float(gradient.abs().max()) < 1e-3
    well = DoubleWell((1,), barrier=2.5)
    height: Tensor = well(torch.zeros(1, 1)) - well(torch.ones(1, 1))
    assert float(height.detach()) == pytest.approx(2.5)


def test_maximum_likelihood_has_the_known_answer() -> None:
    """∂/∂θ (E + log Z) is zero at the moments of the data."""
    x = torch.randn(5000, 3, generator=generator("cpu", 2)) * torch.tensor([1.0, 2.0, 0.5]) + 1
    energy = Gaussian((3,))
    optimizer = torch.optim.LBFGS(energy.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = energy(x).mean() + energy.log_z
        value.backward()
        return value

    optimizer.step(loss)
    torch.testing.assert_close(energy.mean.detach(), x.mean(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(energy.log_std.detach().exp(), x.std(0, correction=0), atol=1e-3, rtol=0)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="centres: each must have 3 numbers, got \\[2\\]"):
        Mixture((3,), ((0.0, 1.0),))
    with pytest.raises(ValueError, match="weights: must be one number or a list of 2, got 3"):
        Mixture((1,), ((0.0,), (1.0,)), weights=(1.0, 2.0, 1.0))
    with pytest.raises(ValueError, match="std: must be one number or a list of 4, got 2"):
        Gaussian((4,), std=(1.0, 2.0))
