"""Langevin dynamics against its exact distribution on a Gaussian."""

import math

import pytest
import torch

from ebm_exp.dataset import Domain
from ebm_exp.random import generator
from ebm_exp.sampler import Langevin, chain
from ebm_exp.sampler.chain import start_control
from tests.sampler.running import run_chain

BOX = Domain(-1, 1, (1,))
N = 40_000


def gaussian(sigma: float):
    return lambda x: (x.square() / (2 * sigma**2)).flatten(1).sum(1)


def variance_z(x: torch.Tensor, variance: float) -> float:
    """How many standard errors the sample variance of N independent Gaussian values lies from the exact one."""
    return float((x.double().var() / variance - 1) / math.sqrt(2 / (x.numel() - 1)))


@pytest.mark.parametrize(("sigma", "step"), [(1.0, 1.0), (1.0, 0.1), (0.5, 0.2)])
@pytest.mark.parametrize("noise_first", [False, True])
def test_stationary_variance_is_exact(sigma: float, step: float, noise_first: bool) -> None:
    variance = sigma**2 / (1 - step / (4 * sigma**2))
    if noise_first:
        variance *= (1 - step / (2 * sigma**2)) ** 2
    start = math.sqrt(variance) * torch.randn(N, 1, generator=generator("cpu", "start"))
    chain = run_chain(Langevin(step, 30, BOX, noise_first=noise_first), gaussian(sigma), start, generator("cpu", 0))
    assert abs(variance_z(chain.x, variance)) < 5
    assert abs(float(chain.x.mean())) < 5 * math.sqrt(variance / N)


def test_the_known_number() -> None:
    """σ = 1, λ = 1: variance 4/3, from a start elsewhere; a lost √2 in the noise would give 2/3 or 8/3."""
    chain = run_chain(Langevin(1.0, 60, BOX), gaussian(1.0), torch.full((N, 1), 3.0), generator("cpu", 1))
    assert abs(variance_z(chain.x, 4 / 3)) < 5


def test_explicit_noise_is_a_temperature() -> None:
    step, noise = 0.2, 0.1
    sampler = Langevin(step, 120, BOX, noise_std=noise)
    assert sampler.temperature == pytest.approx(noise**2 / step)
    # E/T on N(0, σ²) with step T·λ: the variance is T·σ²/(1 − λ/(4σ²)).
    variance = sampler.temperature / (1 - step / 4)
    chain = run_chain(sampler, gaussian(1.0), torch.zeros(N, 1), generator("cpu", 2))
    assert abs(variance_z(chain.x, variance)) < 5
    assert Langevin(step, 1, BOX).temperature == 1.0


def test_bias_is_linear_in_the_step() -> None:
    """Exact: var − 1 = (λ/4)/(1 − λ/4) at σ = 1; the measured ones follow within their errors."""
    for i, step in enumerate((0.1, 0.4)):
        start = math.sqrt(1 / (1 - step / 4)) * torch.randn(N, 1, generator=generator("cpu", "bias", i))
        chain = run_chain(Langevin(step, 20, BOX), gaussian(1.0), start, generator("cpu", 3 + i))
        bias = float(chain.x.double().var()) - 1
        assert abs(bias - (step / 4) / (1 - step / 4)) < 5 * math.sqrt(2 / N) / (1 - step / 4)


def test_clamps_act_and_are_counted() -> None:
    start = torch.tensor([[0.9], [-0.9], [0.0], [0.5]])
    sampler = Langevin(2.0, 1, BOX, noise_std=0.0, gradient_clamp=0.3)
    chain = run_chain(sampler, lambda x: (-10 * x).squeeze(1), start, generator("cpu", 0))
    torch.testing.assert_close(chain.x, start + 0.3)
    assert float(chain.info.metrics()["chain/clamped"]) == 1.0
    assert float(chain.info.metrics()["chain/grad_norm"]) == pytest.approx(10)
    assert float(chain.info.metrics()["chain/displacement"]) == pytest.approx(0.3)
    sampler = Langevin(2.0, 1, BOX, noise_std=0.0, clamp=True)
    chain = run_chain(sampler, lambda x: (-0.2 * x).squeeze(1), start, generator("cpu", 0))
    torch.testing.assert_close(chain.x, torch.tensor([[1.0], [-0.7], [0.2], [0.7]]))
    assert float(chain.info.metrics()["chain/clamped"]) == 0.25
    assert sampler.clamped
    assert not Langevin(2.0, 1, BOX).clamped


def test_a_nan_is_not_counted_as_a_clamp() -> None:
    chain = run_chain(
        Langevin(0.1, 1, BOX), lambda x: (float("nan") * x).sum(1), torch.zeros(4, 1), generator("cpu", 0)
    )
    assert chain.x.isnan().all()
    assert float(chain.info.metrics()["chain/clamped"]) == 0.0


def test_a_decaying_step_beats_every_fixed_one_of_equal_cost() -> None:
    """From x = 3 on N(0, 1), 50 steps: error of E[x²] by the exact recursion, and the chains follow it."""
    n, start = 50, 3.0

    def moments(steps: list[float]) -> tuple[float, float]:
        mean, variance = start, 0.0
        for step in steps:
            mean, variance = (1 - step / 2) * mean, (1 - step / 2) ** 2 * variance + step
        return mean, variance

    def error(steps: list[float]) -> float:
        mean, variance = moments(steps)
        return abs(mean**2 + variance - 1)

    decaying = [1.5 * (1 + t / 2) ** -1.0 for t in range(n)]
    fixed = min(error([0.005 * i] * n) for i in range(1, 400))
    assert error(decaying) < 0.6 * fixed
    sampler = Langevin(1.5, n, BOX, decay_exponent=1.0, decay_offset=2.0)
    x = run_chain(sampler, gaussian(1.0), torch.full((N, 1), start), generator("cpu", 9)).x
    mean, variance = moments(decaying)
    assert abs(variance_z(x, variance)) < 5
    assert abs(float(x.mean()) - mean) < 5 * math.sqrt(variance / N)


def test_a_prepared_control_changes_no_bit() -> None:
    sampler, energy, x = Langevin(0.05, 4, BOX), gaussian(1.0), torch.randn(6, 1)
    for scale in (0.7, torch.rand(6) + 0.5):
        control, g = start_control(sampler, 0.8, x.device, scale), generator("cpu", 0)
        state = sampler.init(energy, x)
        for _ in range(4):
            state, _ = sampler.step(energy, state, sampler.draw(g, x), control)
        assert torch.equal(chain.run_chain(sampler, energy, x, generator("cpu", 0), control).x, state.x)
