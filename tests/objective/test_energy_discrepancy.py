"""Energy discrepancy against sums over all perturbations of a few spins, and closed forms of Gaussians."""

import math

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.config.errors import UserError
from ebm_exp.dataset import Domain
from ebm_exp.energy import Energy
from ebm_exp.objective import BinaryEnergyDiscrepancy, EnergyDiscrepancy
from ebm_exp.regularization import EnergyL2
from ebm_exp.trainer.build import build
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.objective.spins import ENGINE, Spins, domain, gradient, mean_and_error, probabilities, states

WIDE = Domain(-50, 50, (2,))  # so wide that nothing reaches its walls


class Quadratic(Energy):
    """E(x) = |x − μ|²/2."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor([0.5, -0.3], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean).square().sum(1) / 2


def kernel(d: int, flip_probability: float) -> Tensor:
    """q(z | x) over all states ``[2^d, 2^d]``."""
    x = states(d).double()
    n_flips = (x.unsqueeze(1) != x).sum(2)
    return flip_probability ** n_flips.double() * (1 - flip_probability) ** (d - n_flips)


def drawn(energy: Energy, d: int, n_batches: int, size: int, of_data: Tensor, **settings: object) -> Tensor:
    """Gradients ``[n_batches, parameters]`` of the objective on exact samples."""
    objective, g = BinaryEnergyDiscrepancy(ENGINE, {}, domain(d), **settings), torch.Generator().manual_seed(0)
    gradients = []
    for _ in range(n_batches):
        x = states(d)[torch.multinomial(of_data, size, replacement=True, generator=g)]
        gradients.append(gradient(objective(energy, Points(x), 0, g).total(), energy))
    return torch.stack(gradients)


@pytest.mark.parametrize(("d", "m", "w"), [(8, 1, 1.0), (4, 2, 1.0), (4, 2, 0.3)])
def test_the_gradient_is_that_of_the_sum_over_all_flips(d: int, m: int, w: float) -> None:
    energy, of_data, q = Spins(d, seed=1), probabilities(Spins(d, seed=2), d).detach(), kernel(d, 0.2)
    e = energy(states(d))
    if m == 1:
        way = of_data.unsqueeze(1) * (q @ q)  # x, x₁
        values = (w + (e.unsqueeze(1) - e).exp()).log()
    else:
        way = torch.einsum("x,xz,za,zb->xab", of_data, q, q, q)  # x, x₁, x₂
        there = (e.unsqueeze(1) - e).exp()
        values = ((w + there.unsqueeze(2) + there.unsqueeze(1)) / 2).log()
    expected = gradient((way * values).sum(), energy)
    got = drawn(energy, d, 100, 2000, of_data, n_negatives=m, stabilizer=w, flip_probability=0.2)
    mean, error = mean_and_error(got)
    assert ((mean - expected).abs() < 5 * error).all()
    assert float(expected.norm()) > 50 * float(error.norm()) / len(error) ** 0.5  # it is no test of zero


@pytest.mark.parametrize("m", [1, 4])
def test_the_true_model_has_no_gradient(m: int) -> None:
    """With w = 1 at every M; without, the few points of M = 1 have another optimum."""
    energy = Spins(8, seed=2)
    of_data = probabilities(energy, 8).detach()
    mean, error = mean_and_error(drawn(energy, 8, 100, 1000, of_data, n_negatives=m, flip_probability=0.2))
    assert ((mean / error).abs() < 5).all()
    if m == 1:
        biased = drawn(energy, 8, 100, 1000, of_data, n_negatives=1, flip_probability=0.2, stabilizer=0.0)
        mean, error = mean_and_error(biased)
        assert ((mean / error).abs() > 5).any()


def test_even_flips_make_it_maximum_likelihood() -> None:
    energy, of_data = Spins(8, seed=1), probabilities(Spins(8, seed=2), 8).detach()
    e = energy(states(8))
    exact = gradient((of_data * e).sum() + torch.logsumexp(-e, 0), energy)
    settings = {"n_negatives": 1000, "stabilizer": 0.0, "flip_probability": 0.5}
    mean, error = mean_and_error(drawn(energy, 8, 60, 50, of_data, **settings))
    # A ratio of means over M points is off by about 1/M of what it is.
    assert ((mean - exact).abs() < 5 * error + 0.01).all()


@pytest.mark.parametrize("t", [0.01, 0.5])
def test_of_a_gaussian_it_is_the_closed_form(t: float) -> None:
    """−log E exp(−E(z + √t ξ)) = |z − μ|²/2(1 + t) + log(1 + t), so ∇μ L = (μ − x̄) t/(1 + t).

    To first order in t it is t times the gradient of score matching, ½|∇E|² − ΔE, which is μ − x̄ too.
    """
    energy, g = Quadratic(), torch.Generator().manual_seed(0)
    objective = EnergyDiscrepancy(ENGINE, {}, WIDE, n_negatives=500, scale=math.sqrt(t) / 50, stabilizer=0.0)
    gradients, losses, expected = [], [], []
    for _ in range(100):
        x = 1 + torch.randn(500, 2, generator=g, dtype=torch.float64)
        loss = objective(energy, Points(x), 0, g).total()
        squared = float((x - energy.mean.detach()).square().sum(1).mean())
        losses.append(float(loss.detach()) - (squared / 2 - (squared + 2 * t) / (2 * (1 + t)) - math.log(1 + t)))
        gradients.append(gradient(loss, energy))
        expected.append((energy.mean.detach() - x.mean(0)) * t / (1 + t))
    for got, bias in ((torch.tensor(losses), 1e-3 * t), (torch.stack(gradients) - torch.stack(expected), 4e-3 * t)):
        mean, error = mean_and_error(got)
        assert (mean.abs() < 5 * error + bias).all()
    assert (torch.stack(expected).mean(0).abs() > 10 * error).all()


def test_noise_wider_than_the_box_makes_it_maximum_likelihood_there() -> None:
    energy, g, box = Quadratic(), torch.Generator().manual_seed(0), Domain(-2, 3, (2,))
    objective = EnergyDiscrepancy(ENGINE, {}, box, n_negatives=2000, scale=100.0, stabilizer=0.0)
    middle = -2 + (torch.arange(500, dtype=torch.float64) + 0.5) / 100
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2)
    gradients, expected = [], []
    for _ in range(40):
        x = box.uniform(100, g).double()
        gradients.append(gradient(objective(energy, Points(x), 0, g).total(), energy))
        expected.append(gradient(energy(x).mean() + torch.logsumexp(-energy(points), 0), energy))
    mean, error = mean_and_error(torch.stack(gradients) - torch.stack(expected))
    assert (mean.abs() < 5 * error + 2e-3).all()
    assert float(torch.stack(expected).mean(0).abs().max()) > 0.05


def test_noise_stays_in_the_box_and_is_symmetric() -> None:
    """Of points uniform on the box it leaves a uniform distribution, as every symmetric noise does."""
    box, g, n = Domain(-1, 1, (2,)), torch.Generator().manual_seed(0), 100_000
    z = EnergyDiscrepancy(ENGINE, {}, box, scale=0.7).perturb(box.uniform(n, g), g)
    assert float(z.abs().max()) <= 1
    counts = torch.histc(z.flatten(), 20, -1, 1)
    expected = 2 * n / 20
    assert ((counts - expected).abs() < 5 * math.sqrt(expected)).all()


def test_the_best_loss_of_a_constant_energy_is_chance() -> None:
    objective = BinaryEnergyDiscrepancy(ENGINE, {}, domain(8), n_negatives=5)
    loss = objective(Spins(8, size=0.0), Points(states(8)), 0, torch.Generator())
    assert float(loss.total()) == pytest.approx(math.log(6 / 5))
    assert float(objective.signals(loss)["unexplained"]) == pytest.approx(1)


def test_terms_read_one_sample_for_each_point() -> None:
    objective = BinaryEnergyDiscrepancy(ENGINE, {"l2": EnergyL2(0.1)}, domain(8), n_negatives=5)
    energy, x = Spins(8), states(8)
    loss = objective(energy, Points(x), 0, torch.Generator().manual_seed(0))
    e_neg = loss.energies["perturbed"].view(-1, 5)[:, 0]
    torch.testing.assert_close(loss.terms["l2"].detach(), 0.1 * (energy(x).detach().square() + e_neg.square()))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["dataset=binary_digits", "objective=energy_discrepancy"], "the data have two levels"),
        (["objective=energy_discrepancy_binary"], "needs points of two levels .* the data set has others"),
    ],
)
def test_each_is_refused_on_data_of_the_other_kind(typed: list[str], says: str) -> None:
    with pytest.raises(UserError, match=f"^objective: .*{says}"):
        build(composed(*typed))
