"""Contrastive divergence against maximum likelihood, and where its chains start."""

import math

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.buffer import InPlace
from ebm_exp.dataset import Gaussian
from ebm_exp.energy import Energy
from ebm_exp.engine import Eager
from ebm_exp.objective import CD, PCD, ShortRun
from ebm_exp.random import generator
from ebm_exp.regularization import EnergyL2
from ebm_exp.sampler import MALA, Langevin
from ebm_exp.start import Uniform
from ebm_exp.types import Points

ENGINE = Eager(torch.device("cpu"))


class Quadratic(Energy):
    """E(x) = |x − μ|²/2: exactly N(μ, 1), whose negative log-likelihood has the gradient μ − mean of the data."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor([0.5, -0.3]))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean).square().sum(1) / 2


@pytest.fixture
def dataset() -> Gaussian:
    return Gaussian("gaussian", torch.device("cpu"), 0, half_width=5.0, noise=1.0, n_train=4000, n_test=100)


def langevin(dataset: Gaussian, n_steps: int = 30, step: float = 0.02) -> Langevin:
    return Langevin(step, n_steps, dataset.domain)


def test_gradient_is_that_of_the_likelihood(dataset: Gaussian) -> None:
    """Negatives start as exact samples of N(μ, 1) and stay so (to the step's bias in variance, none in the mean)."""
    energy, n = Quadratic(), 20_000

    class ExactStart(CD):
        def start(self, batch, g):
            return Points(energy.mean.detach() + torch.randn(n, 2, generator=g))

    x = torch.randn(n, 2, generator=generator("cpu", "data")) + 1.0
    loss = ExactStart(ENGINE, langevin(dataset), {}, dataset.domain)(energy, Points(x), 0, generator("cpu", 1))
    loss.total().backward()
    exact = energy.mean.detach() - x.mean(0)  # autograd of the exact negative log-likelihood of this batch
    assert ((energy.mean.grad - exact).abs() < 5 * math.sqrt(1.01 / n)).all()


def test_the_loss_is_the_sum_of_the_means_of_its_terms(dataset: Gaussian) -> None:
    batch = dataset.batch(0, 32, 0)
    loss = CD(ENGINE, langevin(dataset), {"l2": EnergyL2(0.1)}, dataset.domain)(
        Quadratic(), batch, 0, generator("cpu", 0)
    )
    e_pos, e_neg = loss.energies["data"], loss.energies["negatives"]
    assert loss.total().requires_grad
    assert e_pos.shape == e_neg.shape == (32,)
    assert not any(each.requires_grad for each in (e_pos, e_neg, *loss.metrics.values()))
    torch.testing.assert_close(loss.terms["cd"].detach(), e_pos - e_neg)
    torch.testing.assert_close(loss.terms["l2"].detach(), 0.1 * (e_pos**2 + e_neg**2))
    expected = (e_pos - e_neg + 0.1 * (e_pos**2 + e_neg**2)).mean()
    assert float(loss.total().detach()) == pytest.approx(float(expected), abs=1e-6)
    assert float(loss.metrics["train/energy_gap"]) == pytest.approx(float((e_neg - e_pos).mean()), abs=1e-6)


class Ends:
    """What an objective stores of its chains."""

    def __init__(self, objective) -> None:
        self.x = torch.empty(0)
        store = objective.store

        def keep(start, x):
            self.x = x
            return store(start, x)

        objective.store = keep


def test_where_chains_start(dataset: Gaussian) -> None:
    still = Langevin(1e-9, 1, dataset.domain, noise_std=0.0)
    batch, energy = dataset.batch(0, 50, 0), Quadratic()
    noise = Uniform(dataset)
    buffer = InPlace(64, noise, dataset.domain, torch.device("cpu"), 0, reinit_probability=0.0)
    before = buffer.x.clone()
    ends = []
    for objective in (
        CD(ENGINE, still, {}, dataset.domain),
        ShortRun(noise, engine=ENGINE, sampler=still, regularization={}, domain=dataset.domain),
        PCD(buffer, engine=ENGINE, sampler=still, regularization={}, domain=dataset.domain),
    ):
        kept = Ends(objective)
        objective(energy, batch, 0, generator("cpu", 0))
        ends.append(kept.x)
    torch.testing.assert_close(ends[0], batch.x)
    assert ends[1].abs().max() > 3  # uniform on ±5, where N(0, 1) has no points
    distance = (ends[2].unsqueeze(1) - before.unsqueeze(0)).abs().amax(-1)
    assert (distance.min(1).values < 1e-4).all()
    assert int((buffer.age == 1).sum()) == 50


def test_the_temperature_is_the_samplers_or_the_suggested_one(dataset: Gaussian) -> None:
    langevin = Langevin(0.5, 1, dataset.domain, noise_std=0.1)
    assert CD(ENGINE, langevin, {}, dataset.domain, suggested_temperature=7.0).temperature == pytest.approx(0.02)
    assert CD(ENGINE, MALA(0.5, 1, dataset.domain), {}, dataset.domain, suggested_temperature=7.0).temperature == 7.0


def test_an_energy_that_needs_labels_says_so(dataset: Gaussian) -> None:
    class Labelled(Quadratic):
        context = ("y",)

    with pytest.raises(ValueError, match="Labelled needs labels"):
        CD(ENGINE, langevin(dataset), {}, dataset.domain)(Labelled(), dataset.batch(0, 8, 0), 0, generator("cpu", 0))


def test_labels_reach_a_conditional_energy(dataset: Gaussian) -> None:
    class Conditional(Quadratic):
        context = ("y",)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return (x - self.mean - 100 * y.unsqueeze(1)).square().sum(1) / 2

    y = torch.arange(8) % 2
    objective = CD(ENGINE, langevin(dataset, 1, 1.0), {}, dataset.domain)
    ends = Ends(objective)
    objective(Conditional(), Points(torch.zeros(8, 2), y), 0, generator("cpu", 0))
    assert (ends.x[y == 1].mean() > 40).all()
    assert (ends.x[y == 0].abs() < 10).all()


def test_chains_make_their_first_passage_before_the_first_step_alone(dataset: Gaussian) -> None:
    energy, batch = Quadratic(), dataset.batch(0, 16, 0)
    buffer = InPlace(
        600, Uniform(dataset), dataset.domain, torch.device("cpu"), 0, reinit_probability=0, first_passage_steps=50
    )
    objective = PCD(buffer, engine=ENGINE, sampler=langevin(dataset, 1, 0.2), regularization={}, domain=dataset.domain)
    assert float(buffer.x.std()) > 2.5  # uniform on 10
    objective(energy, batch, 0, generator("cpu", 0))
    settled = buffer.x.clone()
    assert float(settled.std()) == pytest.approx(1.0, abs=0.15)
    assert ((settled.mean(0) - energy.mean).abs() < 0.2).all()
    objective(energy, batch, 1, generator("cpu", 1))
    assert int((buffer.x != settled).any(1).sum()) == 16
