"""The laws in the plane: densities that integrate to one and belong to the points."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from ebm_exp import dataset as data

CPU = torch.device("cpu")
TOYS = {
    "two_moons": (data.TwoMoons, 2.5, 0.1),
    "eight_gaussians": (data.EightGaussians, 5.0, 0.2),
    "rings": (data.Rings, 4.0, 0.08),
    "checkerboard": (data.Checkerboard, 5.0, 0.1),
    "pinwheel": (data.Pinwheel, 5.5, 0.15),
    "two_spirals": (data.TwoSpirals, 4.5, 0.1),
    "swiss_roll": (data.SwissRoll, 4.5, 0.1),
    "gaussian": (data.Gaussian, 5.0, 0.8),
}


def make(name: str, n: int = 20_000) -> data.Dataset:
    kind, half_width, noise = TOYS[name]
    return kind(name, CPU, 0, half_width=half_width, noise=noise, n_train=n, n_test=100)


def grid(half_width: float, n: int = 300) -> tuple[torch.Tensor, float]:
    edges = torch.linspace(-half_width, half_width, n + 1, dtype=torch.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    return torch.cartesian_prod(centres, centres), float(edges[1] - edges[0]) ** 2


@pytest.mark.parametrize("name", TOYS)
def test_density_integrates_to_one_on_the_domain(name: str) -> None:
    points, cell = grid(TOYS[name][1])
    mass = float(make(name, 10).log_prob(points).exp().sum()) * cell
    assert mass == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", TOYS)
def test_points_belong_to_the_density(name: str) -> None:
    """The mean of log p over the points is minus the entropy, by quadrature, within five standard errors."""
    toy = make(name)
    points, cell = grid(TOYS[name][1])
    log_p = toy.log_prob(points)
    p = log_p.exp()
    entropy = -float((p * log_p.clamp(min=-100)).sum()) * cell
    values = toy.log_prob(toy.train().double())
    error = float(values.std()) / math.sqrt(len(values)) + 1e-4
    assert values.isfinite().all()
    assert abs(float(values.mean()) + entropy) < 5 * error


@pytest.mark.parametrize("name", TOYS)
def test_coarse_histogram_is_that_of_the_density(name: str) -> None:
    toy, h = make(name), TOYS[name][1]
    x = toy.train().numpy()
    counts = np.histogram2d(x[:, 0], x[:, 1], bins=10, range=[[-h, h]] * 2)[0]
    points, cell = grid(h)
    expected = toy.log_prob(points).exp().view(10, 30, 10, 30).sum((1, 3)).numpy() * cell * len(x)
    seen = expected > 5
    chi2 = ((counts - expected)[seen] ** 2 / expected[seen]).sum()
    dof = seen.sum() - 1
    assert abs(chi2 - dof) < 5 * math.sqrt(2 * dof) + 5


@pytest.mark.parametrize("name", ["two_moons", "two_spirals", "swiss_roll"])
def test_quadrature_has_converged(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, x = make(name, 2000), 4 * torch.rand(2000, 2, dtype=torch.float64) - 2
    x = torch.cat([x, toy.train().double()])
    once = toy.log_prob(x)
    monkeypatch.setattr(type(toy), "n_nodes", 3 * type(toy).n_nodes)
    assert float((once.exp() - toy.log_prob(x).exp()).abs().max()) < 1e-6


def test_moons_are_those_of_scikit_learn() -> None:
    arcs, _ = make_moons(2000, noise=None)
    sharp = data.TwoMoons("two_moons", CPU, 0, half_width=2.5, noise=1e-4, n_train=2000, n_test=10).train()
    assert float(torch.cdist(sharp, torch.from_numpy(arcs).float()).min(1).values.max()) < 0.01


def test_the_seed_names_the_points() -> None:
    a, b = make("rings"), make("rings")
    assert torch.equal(a.train(), b.train())
    other = data.Rings("rings", CPU, 1, half_width=4.0, noise=0.08, n_train=100, n_test=10)
    assert not torch.equal(a.train(100), other.train())
