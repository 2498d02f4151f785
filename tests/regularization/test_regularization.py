"""Spectral norm against singular values, and the L2 of energies."""

import math

import pytest
import torch
from torch import nn

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import MLP, Conv, Energy, Tilted
from ebm_exp.energy.base import freeze
from ebm_exp.engine import Eager
from ebm_exp.random import generator
from ebm_exp.regularization import EnergyL2, GradientPenalty, Phase, SpectralNorm, Step, TiltL2
from ebm_exp.regularization.base import Term, Terms
from ebm_exp.start import Uniform


def converged(energy, **options):
    energy = SpectralNorm(n_power_iterations=50, **options).prepare(energy).train()
    x = torch.zeros(1, 1, 8, 8)
    for _ in range(20):
        energy(x)
    return energy.eval()


def norms(energy) -> list[float]:
    layers = [m for m in energy.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return [float(torch.linalg.svdvals(m.weight.detach().flatten(1))[0]) for m in layers]


@pytest.mark.parametrize("kind", [MLP, Conv])
def test_largest_singular_value_is_one(kind) -> None:
    torch.manual_seed(0)
    for norm in norms(converged(kind((1, 8, 8)))):
        assert norm == pytest.approx(1, abs=1e-3)


def test_bounded_leaves_a_small_layer_alone() -> None:
    torch.manual_seed(0)
    energy = MLP((1, 8, 8), (16, 16))
    with torch.no_grad():
        energy.layers[0].weight.mul_(0.01)
        energy.layers[1].weight.mul_(100)
    small = norms(energy)[0]
    after = norms(converged(energy, bounded=True))
    assert after[0] == pytest.approx(small, rel=1e-4)
    assert after[1] == pytest.approx(1, abs=1e-3)


def test_conv_leaves_linear_layers_alone() -> None:
    torch.manual_seed(0)
    energy = Conv((1, 8, 8))
    head = energy.head[0].weight.clone()
    energy = converged(energy, layers="conv")
    assert torch.equal(energy.head[0].weight, head)
    assert norms(energy.convs)[0] == pytest.approx(1, abs=1e-3)


def test_vectors_rest_in_evaluation_and_in_chains() -> None:
    energy = SpectralNorm().prepare(MLP((1, 8, 8), (16,))).train()
    with torch.no_grad():
        for p in energy.parameters():
            p.add_(torch.randn(p.shape))
    x = torch.randn(4, 1, 8, 8)
    before = {k: v.clone() for k, v in energy.state_dict().items()}
    with freeze(energy):
        energy(x)
    energy.eval()(x)
    assert all(torch.equal(before[k], v) for k, v in energy.state_dict().items())
    energy.train()(x)
    assert any(not torch.equal(before[k], v) for k, v in energy.state_dict().items())


def test_gradient_passes_through_the_norm() -> None:
    energy = converged(MLP((1, 8, 8), (4,)))
    energy(torch.randn(3, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in energy.parameters())


def step(pos: Phase, neg: Phase | None = None) -> Step:
    return Step(pos, Eager(torch.device("cpu")), generator("cpu", 0), neg)


def test_energy_l2() -> None:
    energy = MLP((2,), (4,))
    pos, neg = (Phase(torch.zeros(2, 2), e, energy) for e in (torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])))
    torch.testing.assert_close(EnergyL2(0.5)(step(pos, neg)), torch.tensor([5.0, 2.0]))
    torch.testing.assert_close(EnergyL2(0.5)(step(pos)), torch.tensor([0.5, 2.0]))  # an objective without samples
    assert Term()(step(pos)) is None
    assert Term().prepare(energy) is energy


def test_a_term_that_cannot_be_served_is_refused() -> None:
    terms = {"l2": EnergyL2(0.1), "slope": GradientPenalty(1.0, "between")}
    Terms("pcd", frozenset({"negative"}), terms)
    with pytest.raises(ValueError, match="slope: needs samples; objective=dsm has data alone"):
        Terms("dsm", frozenset(), terms)


class Slope(Energy):
    """E(x) = a·|x|²/2 + b·x: ∇E = a x + b."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * x.square().sum(1) / 2 + self.b * x.sum(1)


@pytest.mark.parametrize(("where", "target"), [("data", 0.0), ("samples", 0.0), ("data", 1.0)])
def test_gradient_penalty_is_the_squared_slope(where: str, target: float) -> None:
    energy, x = Slope(2.0, 0.5), torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    pos, neg = Phase(x, energy(x), energy), Phase(x + 1, energy(x + 1), energy)
    penalty = GradientPenalty(0.3, where, target)(step(pos, neg))
    slope = (2 * (x if where == "data" else x + 1) + 0.5).norm(dim=1)
    torch.testing.assert_close(penalty, 0.3 * (slope - target).square())
    penalty.sum().backward()  # it reaches the weights: d|ax + b|²/da = 2 (ax + b)·x
    at = x if where == "data" else x + 1
    scale = 0.6 * (slope - target) / slope
    torch.testing.assert_close(energy.a.grad, (scale * ((2 * at + 0.5) * at).sum(1)).sum())


def test_gradient_penalty_between_lies_on_the_segment() -> None:
    energy = Slope(1.0, 0.0)  # |∇E| = |x|
    pos, neg = (Phase(torch.full((5000, 1), v), torch.zeros(5000), energy) for v in (1.0, 3.0))
    x = GradientPenalty(1.0, "between")(step(pos, neg)).detach().sqrt()
    assert 1 <= float(x.min()) < 1.01 < 2.99 < float(x.max()) <= 3
    assert abs(float(x.mean()) - 2) < 5 * 2 / math.sqrt(12 * 5000)


def test_tilt_l2_is_of_what_the_network_adds() -> None:
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    data = Dataset(name="points", domain=Domain(-2, 2, (2,)), train=x, test=x)
    network = MLP((2,), (8,))
    energy, term = Tilted(network, Uniform(data)), TiltL2(0.3)
    assert term.prepare(energy) is energy
    positive, negative = (Phase(each, energy(each), energy) for each in (x[:3], x[3:]))
    now = Step(positive, Eager(torch.device("cpu")), generator("cpu", "tilt"), negative)
    torch.testing.assert_close(term(now), 0.3 * (network(x[:3]).square() + network(x[3:]).square()))
    with pytest.raises(ValueError, match=r"needs a network on top of a known density \(energy=tilted\)"):
        TiltL2(0.3).prepare(network)
