"""Step sizes that adapt to a target acceptance, each chain for itself: dual averaging.

H̄_t = (1 − 1/(t + t₀)) H̄_{t−1} + (δ − α_t)/(t + t₀)
log ε_t = μ − √t/γ · H̄_t,   log ε̄_t = t^−κ log ε_t + (1 − t^−κ) log ε̄_{t−1}          (Hoffman & Gelman 2014, Eq. 6)

with their γ = 0.05, t₀ = 10, κ = 0.75 and μ = log 10ε₀. After n_adapt steps ε̄ stays. No chain looks at another one, so
a chain does not depend on how many run beside it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

GAMMA, T_0, KAPPA = 0.05, 10.0, 0.75


class StepSize(NamedTuple):
    """A step size per chain and what dual averaging remembers."""

    log: Tensor  # [batch], log ε_t: in use
    log_mean: Tensor  # [batch], log ε̄
    error: Tensor  # [batch], H̄
    mu: Tensor  # []
    t: Tensor  # []
    n_adapt: int


def started(log_step: Tensor, n: int, n_adapt: int) -> StepSize:
    """n chains that begin at ε₀ = exp(log_step), a scalar on the device."""
    log = log_step.expand(n)
    zero = torch.zeros_like(log_step)
    return StepSize(log, log, torch.zeros_like(log), log_step + math.log(10), zero, n_adapt)


def adapted(size: StepSize, acceptance: Tensor, target: float) -> StepSize:
    """The step sizes after one transition that was accepted with probability ``acceptance [batch]``."""
    if not size.n_adapt:
        return size
    t = size.t + 1
    error = torch.lerp(size.error, target - acceptance, 1 / (t + T_0))
    log = size.mu - t.sqrt() / GAMMA * error
    log_mean = torch.lerp(size.log_mean, log, t**-KAPPA)
    adapting = t <= size.n_adapt
    return StepSize(
        log=torch.where(adapting, torch.where(t == size.n_adapt, log_mean, log), size.log),
        log_mean=torch.where(adapting, log_mean, size.log_mean),
        error=torch.where(adapting, error, size.error),
        mu=size.mu,
        t=t,
        n_adapt=size.n_adapt,
    )
