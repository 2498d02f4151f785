"""The health of chains whose density is known."""

import math

import pytest
import torch

from ebm_exp.buffer import InPlace
from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy.analytic import Gaussian
from ebm_exp.engine import Eager
from ebm_exp.evaluator import ChainHealth, Model
from ebm_exp.random import Stream
from ebm_exp.sampler import HMC, Langevin
from ebm_exp.sampling import Chains, Flow
from ebm_exp.start import Normal, Uniform

CPU = torch.device("cpu")
BOX = Domain(-5, 5, (2,))
TRAIN = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
DATA = Dataset(name="normal", domain=BOX, train=TRAIN, test=TRAIN[:100].clone())
ENGINE = Eager(CPU)


def health(sampler, n_steps: int, std: float = 1.0, buffer=None) -> dict[str, float]:
    sampling = Chains(sampler, ENGINE, DATA, Normal(DATA), n_steps, n_adapt=0)
    evaluator = ChainHealth(DATA, ENGINE, sampler, sampling, 64, 1.0, buffer)
    found = evaluator(Model(Gaussian((2,), 0.0, std), sampling, Stream(0)))
    assert set(evaluator.gives()) <= set(found)
    return {name: score.value for name, score in found.items()}


def test_good_chains_agree_and_others_do_not() -> None:
    good = health(HMC(0.8, 1, BOX, n_leapfrog=3), 800)
    assert good["chain_r_hat"] < 1.02
    assert good["chain_ess"] > 80  # of 400 steps
    assert abs(good["chain_saturated"]) < 0.01
    slow = health(Langevin(1e-4, 1, BOX), 200)
    assert slow["chain_r_hat"] > 1.5
    assert slow["chain_ess"] < 3


@pytest.mark.parametrize("step", [0.01, 0.5])
def test_the_acceptance_that_a_correction_would_have(step: float) -> None:
    """Against the ratio of densities itself, for points of the chain's own distribution."""
    n = 64
    sampler = Langevin(step, 1, BOX)
    found = health(sampler, 200)["chain_acceptance"]
    g = torch.Generator().manual_seed(1)
    x = torch.randn(200_000, 2, generator=g) / math.sqrt(1 - step / 4)
    y = x - step / 2 * x + math.sqrt(step) * torch.randn(x.shape, generator=g)
    forward = ((y - x + step / 2 * x) ** 2).sum(1) / (2 * step)
    back = ((x - y + step / 2 * y) ** 2).sum(1) / (2 * step)
    accepted = ((x**2).sum(1) / 2 - (y**2).sum(1) / 2 + forward - back).clamp(max=0).exp()
    assert abs(found - float(accepted.mean())) < 5 * float(accepted.std()) / math.sqrt(n)


def test_walls_and_buffers() -> None:
    buffer = InPlace(128, Uniform(DATA), BOX, CPU, 0)
    found = health(Langevin(0.1, 5, BOX, clamp=True), 60, std=50.0, buffer=buffer)  # nearly flat: it spreads out
    assert found["buffer_moved"] > 0.8
    frozen = health(Langevin(1e-8, 1, BOX), 10, buffer=buffer)
    assert frozen["buffer_moved"] < 0.02
    far = health(Langevin(4.0, 5, BOX, clamp=True), 60, std=50.0)
    assert far["chain_saturated"] > 0.05


def test_it_needs_chains() -> None:
    flow = object.__new__(Flow)
    with pytest.raises(ValueError, match="chain_health needs sampling=chains, the experiment has Flow"):
        ChainHealth(DATA, ENGINE, Langevin(0.1, 1, BOX), flow)
