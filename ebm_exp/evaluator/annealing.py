"""Annealed importance sampling of a ratio of normalisers (Neal 2001).

    f_k = f(β_k),   0 = β_0 < β_1 < … < β_n = 1,   Z_0 = 1 (f_0 is a density),  Z_n = Z,        f: a path, ``paths.py``

    x_0 ~ f_0,   log w = Σ_k log f_k(x_{k−1}) − log f_{k−1}(x_{k−1}),   x_k from x_{k−1} by a kernel that preserves f_k.

E w = Z whatever the kernels, so the log of a mean of w is a stochastic lower bound of log Z (Grosse et al. 2015,
section 2); the same path walked backwards from x ~ f_n/Z has E w = 1/Z, and gives an upper bound. A pilot chooses the
β_k and the step sizes; the weights are unbiased because it shares no random number with the chains that are weighed.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_exp import metrics
from ebm_exp.evaluator.base import Score
from ebm_exp.sampler.base import Control, Info, Sampler
from ebm_exp.types import Batch, EnergyFn, PerSample

ACCEPTANCE = 0.65  # that the pilot looks for: best for Hamiltonian kernels in many dimensions (Beskos et al. 2013)
GAIN = 0.3  # of the pilot's step size: change of its logarithm per unit of acceptance


class Path(ABC):
    """Densities f(β) from one that is known, at β = 0, to that of data, at β = 1."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """n points ``[n, *event]`` of f(0)."""

    @abstractmethod
    def at(self, beta: Tensor) -> EnergyFn:
        """−log f in float64 at one β, a scalar on the device."""

    @abstractmethod
    def slope(self, x: Batch, before: Tensor, after: Tensor) -> PerSample:
        """What a change from one β to another adds to log f ``[batch]``, per unit, in float64."""

    @abstractmethod
    def grid(self, n: int, device: torch.device) -> Tensor:
        """n + 1 β from 0 to 1 in float64, the steps of a pilot."""

    @abstractmethod
    def reach(self, betas: Tensor) -> Tensor:
        """How long the steps of a kernel are at each β, as multiples of those at the last, in float32."""


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
        before, after = schedule.betas[k - 1], schedule.betas[k]
        log_w += (after - before) * path.slope(state.x, before, after)
        if k == n:
            break
        target = path.at(after)
        state = kernel.relocate(target, state, state.x)
        for _ in range(kernel.n_steps):
            state, info = kernel.step(target, state, kernel.draw(generator, state.x), Control(one, schedule.scales[k]))
        acceptance += _mean_acceptance(info) / max(n - 1, 1)
    return Annealed(state.x, log_w, acceptance)


@torch.no_grad()
def pilot(kernel: Sampler, path: Path, x: Batch, n: int, generator: torch.Generator) -> Schedule:
    """The schedule of n steps that a walk from x ~ f_0 suggests.

    Step sizes follow the acceptance of all chains. Half of the β are as the path's grid has them, half such that
    each step adds the same spread to the weights: std of log w grows by dβ · std(d log f/dβ), the length of the path in
    the Fisher metric (Gelman & Meng 1998).
    """
    betas = path.grid(n, x.device)
    one, log_scale = torch.ones((), device=x.device), torch.zeros((), device=x.device)
    state = kernel.init(path.at(betas[0]), x)
    lengths, log_scales = [], [log_scale]
    for k in range(1, n + 1):
        target = path.at(betas[k])
        lengths.append((betas[k] - betas[k - 1]) * path.slope(state.x, betas[k - 1], betas[k]).std())
        moved = kernel.relocate(target, state, state.x)
        scale = log_scale.exp() * path.reach(betas[k])
        state, info = kernel.step(target, moved, kernel.draw(generator, x), Control(one, scale))
        log_scale = log_scale + GAIN * (_mean_acceptance(info) - ACCEPTANCE)
        log_scales.append(log_scale)
    walked = torch.cat([torch.zeros_like(betas[:1]), torch.stack(lengths).cumsum(0)])
    total = walked[-1].clamp(min=torch.finfo(torch.float64).tiny)
    even = torch.arange(n + 1, dtype=torch.float64, device=x.device) / n
    position = (walked / total + even) / 2
    spaced = _interpolate(even, position, betas)
    spaced[0], spaced[-1] = 0.0, 1.0
    found = _interpolate(spaced, betas, torch.stack(log_scales).double()).exp().float()
    return Schedule(spaced, found * path.reach(spaced))


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
