"""The distributions in the plane: densities that integrate to one and belong to the points."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import make_moons

from ebm_exp import dataset as data
from ebm_exp.random import generator

CPU = torch.device("cpu")
CONF = {
    file.stem: yaml.safe_load(file.read_text()) for file in (Path(__file__).parents[2] / "conf/dataset").glob("*.yaml")
}
TOYS = {name: node for name, node in sorted(CONF.items()) if node.get("half_width")}  # as shipped: the box, the noise
CURVES = {"two_moons": data.TwoMoons, "two_spirals": data.TwoSpirals, "swiss_roll": data.SwissRoll}
N_CELLS = 150  # per side: cells narrower than the noise, and the checkerboard's edges lie between them


@cache
def make(name: str) -> data.Dataset:
    knobs = {k: v for k, v in TOYS[name].items() if k in ("half_width", "noise")}
    return getattr(data, TOYS[name]["_target_"].rpartition(".")[2])(name, CPU, 0, n_train=20_000, n_test=100, **knobs)


@cache
def density(name: str) -> tuple[torch.Tensor, float]:
    """log p ``[N_CELLS, N_CELLS]`` at the cells' centres, and the area of a cell."""
    h = TOYS[name]["half_width"]
    edges = torch.linspace(-h, h, N_CELLS + 1, dtype=torch.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    log_p = make(name).log_prob(torch.cartesian_prod(centres, centres))
    return log_p.view(N_CELLS, N_CELLS), (2 * h / N_CELLS) ** 2


def test_every_law_is_shipped() -> None:
    assert len(TOYS) == 8


@pytest.mark.parametrize("name", TOYS)
def test_density_integrates_to_one_on_the_domain(name: str) -> None:
    log_p, cell = density(name)
    assert float(log_p.exp().sum()) * cell == pytest.approx(1, abs=2e-5)


@pytest.mark.parametrize("name", TOYS)
def test_points_belong_to_the_density(name: str) -> None:
    """The mean of log p over the points is minus the entropy, by quadrature, within five standard errors."""
    log_p, cell = density(name)
    entropy = -float((log_p.exp() * log_p.clamp(min=-100)).sum()) * cell
    values = make(name).log_prob(make(name).train().double())
    error = float(values.std()) / math.sqrt(len(values)) + 1e-4
    assert values.isfinite().all()
    assert abs(float(values.mean()) + entropy) < 5 * error


@pytest.mark.parametrize("name", TOYS)
def test_coarse_histogram_is_that_of_the_density(name: str) -> None:
    x, h = make(name).train().numpy(), TOYS[name]["half_width"]
    counts = np.histogram2d(x[:, 0], x[:, 1], bins=10, range=[[-h, h]] * 2)[0]
    log_p, cell = density(name)
    expected = log_p.exp().view(10, N_CELLS // 10, 10, N_CELLS // 10).sum((1, 3)).numpy() * cell * len(x)
    seen = expected > 5
    chi2 = ((counts - expected)[seen] ** 2 / expected[seen]).sum()
    dof = seen.sum() - 1
    assert abs(chi2 - dof) < 5 * math.sqrt(2 * dof) + 5


@pytest.mark.parametrize("noise", [0.3, 0.1, 0.01])
@pytest.mark.parametrize("name", CURVES)
def test_quadrature_has_converged_at_any_noise(name: str, noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = CURVES[name](name, CPU, 0, half_width=5.0, noise=noise, n_train=300, n_test=10)
    x = toy.train().double()
    tails = 10 * torch.rand(300, 2, generator=generator("cpu", "tails"), dtype=torch.float64) - 5
    once, far = toy.log_prob(x), toy.log_prob(tails)
    monkeypatch.setattr(CURVES[name], "panel", CURVES[name].panel / 4)
    torch.testing.assert_close(once, toy.log_prob(x), rtol=0, atol=1e-9)
    if noise >= 0.1:  # at the shipped noise even log p of −1000 is right
        torch.testing.assert_close(far, toy.log_prob(tails), rtol=0, atol=1e-6)


def test_no_point_of_the_checkerboard_is_rounded_onto_an_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    board = data.Checkerboard("checkerboard", CPU, 0, half_width=5.0, n_train=10, n_test=10)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.full(shape, 1 - 2**-24))  # its largest value
    assert board.log_prob(board.sample(1000, generator("cpu", 0))).isfinite().all()


def test_moons_are_those_of_scikit_learn() -> None:
    arcs, _ = make_moons(2000, noise=None)
    sharp = data.TwoMoons("two_moons", CPU, 0, half_width=2.5, noise=1e-4, n_train=2000, n_test=10).train()
    apart = torch.cdist(sharp, torch.from_numpy(arcs).float())
    assert float(apart.min(1).values.max()) < 0.01  # no point is off the arcs,
    assert float(apart.min(0).values.max()) < 0.03  # and no piece of them is left out


def test_the_seed_names_the_points() -> None:
    a, b, other = (
        data.Rings("rings", CPU, seed, half_width=4.0, noise=0.08, n_train=100, n_test=10) for seed in (0, 0, 1)
    )
    assert torch.equal(a.train(), b.train())
    assert not torch.equal(a.train(), other.train())
