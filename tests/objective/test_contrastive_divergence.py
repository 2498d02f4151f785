"""Contrastive divergence against maximum likelihood, and where its chains start."""

import math

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.buffer import InPlace
from ebm_exp.dataset import Gaussian
from ebm_exp.energy import Energy
from ebm_exp.objective import CD, PCD, ShortRun
from ebm_exp.random import generator
from ebm_exp.regularization import Combined, EnergyL2
from ebm_exp.sampler import Langevin
from ebm_exp.types import Minibatch


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
        def negatives(self, energy, batch, g):
            exact = energy.mean.detach() + torch.randn(n, 2, generator=g)
            return super().negatives(energy, Minibatch(exact, None), g)

    x = torch.randn(n, 2, generator=generator("cpu", "data")) + 1.0
    output = ExactStart(langevin(dataset), Combined())(energy, Minibatch(x, None), generator("cpu", 1))
    output.loss.mean().backward()
    exact = energy.mean.detach() - x.mean(0)  # autograd of the exact negative log-likelihood of this batch
    assert ((energy.mean.grad - exact).abs() < 5 * math.sqrt(1.01 / n)).all()


def test_the_output_is_per_sample_and_detached_where_promised(dataset: Gaussian) -> None:
    batch = dataset.batch(0, 32, 0)
    output = CD(langevin(dataset), Combined(l2=EnergyL2(0.1)))(Quadratic(), batch, generator("cpu", 0))
    assert output.loss.shape == output.e_pos.shape == output.e_neg.shape == (32,)
    assert output.loss.requires_grad
    assert not (output.e_pos.requires_grad)
    assert not (output.x_neg.requires_grad)
    expected = output.e_pos - output.e_neg + 0.1 * (output.e_pos**2 + output.e_neg**2)
    torch.testing.assert_close(output.loss.detach(), expected)
    assert float(output.metrics["train/energy_gap"]) == pytest.approx(
        float((output.e_neg - output.e_pos).mean()), abs=1e-6
    )
    assert torch.equal(output.x_pos, batch.x)


def test_where_chains_start(dataset: Gaussian) -> None:
    still = Langevin(1e-9, 1, dataset.domain, noise_std=0.0)
    batch, energy = dataset.batch(0, 50, 0), Quadratic()
    at_data = CD(still, Combined())(energy, batch, generator("cpu", 0)).x_neg
    torch.testing.assert_close(at_data, batch.x)
    from_noise = ShortRun(still, dataset, Combined())(energy, batch, generator("cpu", 0)).x_neg
    assert from_noise.abs().max() > 3  # uniform on ±5, where N(0, 1) has no points
    buffer = InPlace(64, dataset, torch.device("cpu"), 0, reinit_probability=0.0)
    before = buffer.x.clone()
    drawn = PCD(still, buffer, Combined())(energy, batch, generator("cpu", 0)).x_neg
    distance = (drawn.unsqueeze(1) - before.unsqueeze(0)).abs().amax(-1)
    assert (distance.min(1).values < 1e-4).all()
    assert int((buffer.age == 1).sum()) == 50


def test_an_energy_that_needs_labels_says_so(dataset: Gaussian) -> None:
    class Labelled(Quadratic):
        context = ("y",)

    with pytest.raises(ValueError, match="Labelled needs y"):
        CD(langevin(dataset), Combined())(Labelled(), dataset.batch(0, 8, 0), generator("cpu", 0))


def test_labels_reach_a_conditional_energy(dataset: Gaussian) -> None:
    class Conditional(Quadratic):
        context = ("y",)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return (x - self.mean - 100 * y.unsqueeze(1)).square().sum(1) / 2

    y = torch.arange(8) % 2
    output = CD(langevin(dataset, 1, 1.0), Combined())(
        Conditional(), Minibatch(torch.zeros(8, 2), y), generator("cpu", 0)
    )
    assert (output.x_neg[y == 1].mean() > 40).all()
    assert (output.x_neg[y == 0].abs() < 10).all()
