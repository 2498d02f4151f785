"""Likelihood in the plane where it is known."""

import math

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain, EightGaussians
from ebm_exp.dataset import Gaussian as GaussianData
from ebm_exp.energy import Energy, Gaussian
from ebm_exp.evaluator import Grid
from tests.evaluator.scoring import scored

CPU = torch.device("cpu")


class Truth(Energy):
    """The density of the data, as an energy with an offset."""

    def __init__(self, data: Dataset) -> None:
        super().__init__()
        self.data = data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 7 - self.data.log_prob(x)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_gaussian_against_a_gaussian(temperature: float) -> None:
    """KL(N(0, s²) ‖ N(m, T v²)) in two dimensions, log Z = log 2πT v²."""
    data = GaussianData("gaussian", CPU, 0, half_width=6.0, noise=0.7, n_train=10, n_test=50_000)
    model = Gaussian((2,), mean=0.3, std=0.9)
    told = scored(Grid(data, temperature), model)
    s2, v2 = 0.49, temperature * 0.81
    kl = s2 / v2 + 0.09 / v2 - 1 + math.log(v2 / s2)
    assert told["log_z"] == pytest.approx(math.log(2 * math.pi * v2), abs=1e-6)
    assert told["log_z_error"] < 1e-6
    assert abs(told["kl"] - kl) < 5 * told["kl_se"]
    entropy = 1 + math.log(2 * math.pi * s2)
    assert told["nll"] == pytest.approx(told["kl"] + entropy, abs=5 * math.sqrt(1 / 50_000))


def test_the_truth_is_at_zero() -> None:
    data = EightGaussians("eight", CPU, 0, half_width=6.0, noise=0.3, n_train=10, n_test=2_000)
    told = scored(Grid(data, n=400), Truth(data))
    assert told["kl"] == pytest.approx(0, abs=1e-4)
    assert told["kl_se"] < 1e-6
    assert told["log_z"] == pytest.approx(-7, abs=1e-4)


def test_the_error_of_a_rough_energy_is_told() -> None:
    """On a grid too coarse for the energy, the estimate is of the size of the true error."""
    data = GaussianData("gaussian", CPU, 0, half_width=6.0, noise=0.7, n_train=10, n_test=10)
    told = scored(Grid(data, n=30), Gaussian((2,), mean=0.05, std=0.12))
    error = abs(told["log_z"] - math.log(2 * math.pi * 0.0144))
    assert error > 1e-3
    assert told["log_z_error"] > error / 3


def test_it_needs_the_plane() -> None:
    x = torch.zeros(4, 3)
    data = Dataset(name="points", domain=Domain(-1, 1, (3,)), train=x, test=x)
    with pytest.raises(ValueError, match="needs points in the plane, points has points"):
        Grid(data)
    plane = Dataset(name="points", domain=Domain(-1, 1, (2,)), train=x[:, :2], test=x[:, :2])
    with pytest.raises(ValueError, match="needs an energy of the point alone, this one takes labels"):
        Grid(plane, conditional=True)


def test_chains_without_noise_have_no_density() -> None:
    x = torch.zeros(4, 2)
    data = Dataset(name="points", domain=Domain(-1, 1, (2,)), train=x, test=x)
    with pytest.raises(ValueError, match=r"and T is 0 here.*sampler.noise_std=null is the noise of T = 1"):
        Grid(data, temperature=0.0)


def test_data_of_unknown_law_have_a_likelihood_and_no_kl() -> None:
    x = torch.zeros(4, 2)
    data = Dataset(name="points", domain=Domain(-1, 1, (2,)), train=x, test=x)
    assert set(scored(Grid(data), Gaussian((2,)))) == {"log_z", "log_z_error", "nll", "nll_se"}
