"""Step sizes that adapt to a target acceptance, each chain for itself: stochastic approximation.

log ε_t = log ε_{t−1} + 3 t^−κ (α_t − δ), at most ±1 a step,  κ = 0.6           (Robbins & Monro 1951; Andrieu & Thoms
log ε̄ = mean of log ε_t over the second half of burn-in                                        2008, section 4.2.1)

After n_adapt steps ε̄ stays. No chain looks at another one, so a chain does not depend on how many run beside it. Dual
averaging (Hoffman & Gelman 2014) was tried first: with one chain's acceptances its gain leaves log ε so noisy that the
acceptance ends .05 to .1 above a target of .5 or .8; this one ends within .02.
"""

from typing import NamedTuple

import torch
from torch import Tensor

GAIN, KAPPA = 3.0, 0.6


class StepSize(NamedTuple):
    """A step size per chain, and what its adaptation remembers."""

    log: Tensor  # [batch], log ε_t: in use
    log_mean: Tensor | None = None  # [batch], log ε̄ so far; None: the step size stays
    t: Tensor | None = None  # [], steps of adaptation done
    n_adapt: Tensor | None = None  # []


def start(log_step: Tensor, n: int, n_adapt: int) -> StepSize:
    """n chains that begin at exp(log_step), a scalar on the device."""
    log = log_step.expand(n)
    if not n_adapt:
        return StepSize(log)
    return StepSize(log, torch.zeros_like(log), torch.zeros_like(log_step), torch.full_like(log_step, n_adapt))


def adapt(size: StepSize, acceptance: Tensor, target: float) -> StepSize:
    """The step sizes after one transition that was accepted with probability ``acceptance [batch]``."""
    if size.log_mean is None or size.t is None or size.n_adapt is None:
        return size
    t = size.t + 1
    log = size.log + (GAIN * t**-KAPPA * (acceptance - target)).clamp(-1, 1)
    half = (size.n_adapt / 2).floor()
    log_mean = torch.lerp(size.log_mean, log, 1 / (t - half).clamp(min=1))
    over = t > size.n_adapt
    log_mean = torch.where(over, size.log_mean, log_mean)
    return StepSize(torch.where(t >= size.n_adapt, log_mean, log), log_mean, t, size.n_adapt)
