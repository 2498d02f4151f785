"""Chains on an energy given an observation have the conditional distribution."""

import math

import torch

from ebm_exp.dataset import Domain
from ebm_exp.energy import Gaussian
from ebm_exp.energy.posterior import Denoising, Inpainting
from ebm_exp.random import generator
from ebm_exp.sampler import HMC
from tests.sampler.running import run_chain

N = 20_000
BOX = Domain(-9, 9, (2,))


def z_of(x: torch.Tensor, mean: float, std: float) -> tuple[float, float]:
    """Standard errors of mean and variance of N independent Gaussian values."""
    x = x.double()
    return (float(x.mean()) - mean) / (std / math.sqrt(N)), (float(x.var()) / std**2 - 1) / math.sqrt(2 / N)


def test_inpainting_draws_the_conditional_law() -> None:
    """(x₁, x₂) Gaussian with correlation ρ: x₁ given x₂ is N(ρx₂, 1 − ρ²)."""
    target = Inpainting(Gaussian((2,), correlation=0.8), torch.tensor([True, False]))
    known = torch.full((N, 2), 1.5)
    start = BOX.uniform(N, generator("cpu", "start"))
    x = run_chain(HMC(0.4, 1, BOX, n_leapfrog=4), target.bind(known=known), start, generator("cpu", 0), 60).x
    completed = target.completed(x, known)
    assert (completed[:, 1] == 1.5).all()
    assert max(map(abs, z_of(completed[:, 0], 1.2, 0.6))) < 5


def test_denoising_draws_the_posterior() -> None:
    """x ~ N(0, T), y = x + N(0, σ²): the posterior is N(Ty/(T + σ²), Tσ²/(T + σ²))."""
    t, sigma = 0.5, 0.7
    target = Denoising(Gaussian((2,)), sigma, t)
    noisy = torch.full((N, 2), 2.0)
    sampler = HMC(0.4, 1, BOX, temperature=t, n_leapfrog=4)
    x = run_chain(sampler, target.bind(noisy=noisy), noisy, generator("cpu", 0), 40).x
    mean, std = t * 2.0 / (t + sigma**2), math.sqrt(t * sigma**2 / (t + sigma**2))
    assert max(map(abs, z_of(x[:, 0], mean, std))) < 5
