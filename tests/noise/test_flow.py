"""The straight line from noise to data: what a potential of its velocity stands for, against the truth."""

import math

import pytest
import torch
from torch import Tensor

from ebm_exp.energy import MLP, Energy
from ebm_exp.energy.base import energy_gradient
from ebm_exp.noise import Flow

MEAN, STD = torch.tensor([0.3, -0.2], dtype=torch.float64), 0.4
WEIGHTS = torch.tensor([0.3, 0.7], dtype=torch.float64)
MEANS = torch.tensor([[-0.5, 0.1], [0.4, 0.6]], dtype=torch.float64)


class Exact(Energy):
    """The potential of the exact velocity of a mixture of normal distributions, from the log-density of its x_t."""

    context = ("t",)

    def __init__(self, weights: Tensor, means: Tensor, std: float) -> None:
        super().__init__()
        self.weights, self.means, self.std = weights, means, std

    def log_p(self, x: Tensor, t: Tensor) -> Tensor:
        variance = t**2 * self.std**2 + (1 - t) ** 2
        squares = (x[:, None] - t[:, None, None] * self.means).square().sum(2)
        parts = (
            self.weights.log()
            - squares / (2 * variance[:, None])
            - x.shape[1] / 2 * (2 * math.pi * variance).log()[:, None]
        )
        return parts.logsumexp(1)

    def forward(self, x: Tensor, **context: Tensor) -> Tensor:
        """From ∇ log p = (t u − x)/(1 − t)."""
        t = context["t"]
        return -((1 - t) * self.log_p(x, t) + 0.5 * x.square().sum(1)) / t


@pytest.fixture
def mixture() -> Exact:
    return Exact(WEIGHTS, MEANS, STD)


def test_the_velocity_of_one_normal_distribution_is_the_textbooks() -> None:
    x, t = torch.randn(50, 2, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
    exact = Exact(torch.ones(1, dtype=torch.float64), MEAN[None], STD)
    _, gradient = energy_gradient(exact.bind(t=t), x)
    s = t[:, None]
    expected = MEAN + (s * STD**2 - (1 - s)) / (s**2 * STD**2 + (1 - s) ** 2) * (x - s * MEAN)
    torch.testing.assert_close(-gradient, expected)


@pytest.mark.parametrize("t", [0.3, 0.9, 0.98])
def test_the_density_of_a_time_is_that_of_the_noised_data(mixture: Exact, t: float) -> None:
    x = torch.randn(200, 2, dtype=torch.float64)
    log_p = mixture.log_p(x, torch.full((200,), t, dtype=torch.float64))
    constant = Flow().energy_at(mixture, t)(x) + log_p
    assert constant.std() < 1e-9


def test_an_energy_of_time_has_the_density_of_its_noise_process(mixture: Exact) -> None:
    mixture.noised = Flow(t_density=0.9)
    x = torch.randn(20, 2, dtype=torch.float64)
    torch.testing.assert_close(mixture.density()(x), Flow().energy_at(mixture, 0.9)(x))
    assert mixture.of_data().context == ()


@pytest.mark.parametrize("times", ["uniform", "logit_normal"])
def test_points_of_a_time_come_from_data_and_noise(times: str) -> None:
    noise, g = Flow(times), torch.Generator().manual_seed(0)
    t = noise.sample_t(4000, g, torch.device("cpu"))
    assert ((t >= 0) & (t <= 1)).all()
    assert float(t.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(t.std()) == pytest.approx(0.289 if times == "uniform" else 0.208, abs=0.01)
    x, z = torch.randn(4000, 3, 2), torch.randn(4000, 3, 2)
    torch.testing.assert_close(noise.perturb(x, t, z), (1 - t)[:, None, None] * z + t[:, None, None] * x)


def test_nothing_but_the_noise_is_known_beforehand() -> None:
    """E = 0 is N(0, (1 − t) I), and at t = 0, all noise, so is any E."""
    x = torch.randn(20, 2, dtype=torch.float64)
    some = MLP((2,), (4,), timed=True, standard=Flow().standard).double()
    still = type("Still", (Energy,), {"context": ("t",), "forward": lambda self, x, **context: 0 * x[:, 0]})()
    for energy, t in ((still, 0.7), (some, 0.0)):
        normal = torch.distributions.Normal(torch.zeros(2, dtype=torch.float64), (1 - t) ** 0.5)
        torch.testing.assert_close(Flow().energy_at(energy, t)(x), -normal.log_prob(x).sum(1))
