"""Annealed importance sampling of a ratio of normalisers (Neal 2001).

    f_k(x) = q(x)^(1−β_k) exp(−β_k E(x)/T),   0 = β_0 < β_1 < … < β_n = 1,   Z_0 = 1 (q is a density),  Z_n = Z,

    x_0 ~ q,   log w = Σ_k log f_k(x_{k−1}) − log f_{k−1}(x_{k−1}),   x_k from x_{k−1} by a kernel that preserves f_k.

E w = Z whatever the kernels, so the log of a mean of w is a stochastic lower bound of log Z (Grosse et al. 2015,
section 2); the same path walked backwards from x ~ exp(−E/T)/Z has E w = 1/Z, and gives an upper bound. A pilot chooses
the β_k and the step sizes; the weights are unbiased because it shares no random number with the chains that are
weighed.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_exp import metrics
from ebm_exp.evaluator.base import Score
from ebm_exp.sampler.base import Control, Info, Sampler
from ebm_exp.start import Start
from ebm_exp.types import Batch, EnergyFn, PerSample

STEEPNESS = 4.0  # of the pilot's β: a sigmoid, dense at both ends (Grosse et al. 2015, section 5)
ACCEPTANCE = 0.65  # that the pilot looks for: best for Hamiltonian kernels in many dimensions (Beskos et al. 2013)
GAIN = 0.3  # of the pilot's step size: change of its logarithm per unit of acceptance


class Path:
    """−log f as a function of β, in float64.

    Args:
        energy: E, context bound, at rest.
        temperature: T.
        base: q, a density on the domain.
    """

    def __init__(self, energy: EnergyFn, temperature: float, base: Start) -> None:
        self.energy = energy
        self.temperature = temperature
        self.base = base

    def at(self, beta: Tensor) -> EnergyFn:
        """−log f at one β, a scalar on the device."""

        def energy(x: Batch) -> PerSample:
            return beta * self.energy(x).double() / self.temperature - (1 - beta) * self.base.log_prob(x).double()

        return energy

    def slope(self, x: Batch) -> PerSample:
        """d log f/dβ = −E/T − log q ``[batch]``: what a change of β adds to log w, per unit."""
        return -self.energy(x).double() / self.temperature - self.base.log_prob(x).double()


class Schedule(NamedTuple):
    """The β of a path from 0 to 1, and how large the kernel's steps are at each."""

    betas: Tensor  # [n + 1], float64
    scales: Tensor  # [n + 1], factors on the kernel's own step size


class Annealed(NamedTuple):
    """Where chains end, and their weights."""

    x: Tensor  # [batch, *event]
    log_w: Tensor  # [batch], float64, in nats
    acceptance: Tensor  # [], mean over chains and steps


@torch.no_grad()
def anneal(kernel: Sampler, path: Path, schedule: Schedule, x: Batch, generator: torch.Generator) -> Annealed:
    """Walk a path from β of ``schedule.betas[0]``, where x ``[batch, *event]`` is distributed, to its last.

    ``kernel.n_steps`` transitions are made at each β between; the kernel must leave its target exactly as it is.
    """
    state = kernel.init(path.at(schedule.betas[0]), x)
    log_w = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    one, acceptance = torch.ones((), device=x.device), torch.zeros((), device=x.device)
    n = len(schedule.betas) - 1
    for k in range(1, n + 1):
        log_w += (schedule.betas[k] - schedule.betas[k - 1]) * path.slope(state.x)
        if k == n:
            break
        target = path.at(schedule.betas[k])
        state = kernel.relocate(target, state, state.x)
        for _ in range(kernel.n_steps):
            state, info = kernel.step(target, state, kernel.draw(generator, state.x), Control(one, schedule.scales[k]))
        acceptance += _mean_acceptance(info) / max(n - 1, 1)
    return Annealed(state.x, log_w, acceptance)


@torch.no_grad()
def pilot(kernel: Sampler, path: Path, x: Batch, n: int, generator: torch.Generator) -> Schedule:
    """The schedule of n steps that a walk from x ~ q suggests.

    Step sizes follow the acceptance of all chains. Half of the β are as the sigmoid has them, half such that each step
    adds the same spread to the weights: std of log w grows by dβ · std(E/T + log q), the length of the path in the
    Fisher metric (Gelman & Meng 1998).
    """
    grid = torch.linspace(-1, 1, n + 1, dtype=torch.float64, device=x.device)
    betas = torch.sigmoid(STEEPNESS * grid)
    betas = (betas - betas[0]) / (betas[-1] - betas[0])
    one, log_scale = torch.ones((), device=x.device), torch.zeros((), device=x.device)
    state = kernel.init(path.at(betas[0]), x)
    lengths, log_scales = [], [log_scale]
    for k in range(1, n + 1):
        target = path.at(betas[k])
        lengths.append((betas[k] - betas[k - 1]) * path.slope(state.x).std())
        moved = kernel.relocate(target, state, state.x)
        state, info = kernel.step(target, moved, kernel.draw(generator, x), Control(one, log_scale.exp()))
        log_scale = log_scale + GAIN * (_mean_acceptance(info) - ACCEPTANCE)
        log_scales.append(log_scale)
    walked = torch.cat([torch.zeros_like(betas[:1]), torch.stack(lengths).cumsum(0)])
    total = walked[-1].clamp(min=torch.finfo(torch.float64).tiny)
    even = torch.arange(n + 1, dtype=torch.float64, device=x.device) / n
    position = (walked / total + even) / 2
    spaced = _interpolate(even, position, betas)
    spaced[0], spaced[-1] = 0.0, 1.0
    return Schedule(spaced, _interpolate(spaced, betas, torch.stack(log_scales).double()).exp().float())


def reverse(schedule: Schedule) -> Schedule:
    """The same path from its other end."""
    return Schedule(schedule.betas.flip(0), schedule.scales.flip(0))


def log_mean(log_w: Tensor) -> Score:
    """log of the mean of weights ``[n]``, with the standard error that their spread gives (delta method)."""
    n = len(log_w)
    value = torch.logsumexp(log_w, 0) - math.log(n)
    relative = (log_w - value).exp()
    return Score(float(value), float(relative.std()) / math.sqrt(n), better=None, n=n)


def effective_size(log_w: Tensor) -> float:
    """(Σw)²/Σw² of weights ``[n]``: as good as so many equal ones."""
    return float((2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)).exp())


def _mean_acceptance(info: Info) -> Tensor:
    """The mean acceptance of a transition."""
    return info.metrics()[metrics.ACCEPTANCE]


def _interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """y(x) at other points, piecewise linear; x rises."""
    i = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    share = ((at - x[i - 1]) / (x[i] - x[i - 1]).clamp(min=1e-300)).clamp(0, 1)
    return torch.lerp(y[i - 1], y[i], share)
