"""Markov kernels on energies, and the chain that repeats one.

x is a batch of independent chains ``[batch, *event]``; the target is p_T(x) ∝ exp(−E(x)/T). A kernel's step is pure:
the randomness of a step is drawn beforehand and handed in, so the same noise gives the same chain whoever runs it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ebm_exp.energy.base import frozen
from ebm_exp.types import Batch, EnergyFn

CHUNK = 64  # chains that share one generator when samples are drawn, so that a batch's size changes no chain

# A sampler's own NamedTuple of tensors, each [batch, …] or a scalar. Whatever wraps a kernel relies on three of its
# fields: x, the points [batch, *event]; temperature, T of the target, and scale, a factor on the step size: scalars or
# [batch].
State = Any
Noise = Any  # a sampler's own tuple of tensors, each [batch, …]


class Info(ABC):
    """What a person wants to know of one step: its tensors as they are, reduced only when asked."""

    @abstractmethod
    def metrics(self) -> dict[str, Tensor]:
        """Scalars, averaged over the batch, named ``chain/…``."""


class Sampler(nn.Module, ABC):
    """A Markov kernel with its default chain length. It never owns a model: the energy is an argument.

    What it learns from chain to chain in training is a buffer (``register_buffer``), so that checkpoints hold it.
    """

    n_steps: int
    temperature: float  # T of the distribution that the kernel is built to sample
    exact: bool  # False when a clamp may act: the temperature is then only an effective one
    discrete: bool = False  # True: points have two levels, the ends of the domain

    @abstractmethod
    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> State:
        """The state of chains that start at x; a step size that can adapt does so in the first n_adapt steps."""

    @abstractmethod
    def draw(self, generator: torch.Generator, x: Batch) -> Noise:
        """All randomness of one step for chains shaped like x."""

    @abstractmethod
    def step(self, energy: EnergyFn, state: State, noise: Noise) -> tuple[State, Info]:
        """One transition of every chain: no random number, no host synchronisation, no Python state."""

    def moved(self, energy: EnergyFn, state: State, x: Batch) -> State:
        """The state at other points x: what it keeps of the energy is computed anew, all else stays."""
        return state._replace(x=x)

    def learn(self, info: Any) -> None:
        """Take in the last step of a training chain, between chains; nothing for most kernels."""


class Chain(NamedTuple):
    """The end of a chain: its points ``[batch, *event]``, the last state and the last step's info."""

    x: Tensor
    state: State
    info: Info | None


def per_chain(value: Tensor, x: Tensor) -> Tensor:
    """A scalar or one number per chain ``[batch]``, shaped to multiply x ``[batch, *event]``."""
    return value.view(-1, *[1] * (x.dim() - 1)) if value.dim() else value


Generators = torch.Generator | Sequence[torch.Generator]
Callback = Callable[[int, State, Info], None]


def draw_noise(sampler: Sampler, generator: Generators, x: Batch) -> Noise:
    """One step's noise from one generator, or from one per chunk of 64 chains (the last chunk cut to the batch)."""
    if isinstance(generator, torch.Generator):
        return sampler.draw(generator, x)
    chunk = x[:1].expand(CHUNK, *x.shape[1:])
    chunks = [sampler.draw(g, chunk) for g in generator]
    return pytree.tree_map(lambda *parts: torch.cat(parts)[: len(x)], *chunks)


def run_chain(
    sampler: Sampler,
    energy: EnergyFn,
    x: Batch,
    generator: Generators,
    n_steps: int | None = None,
    callback: Callback | None = None,
    n_adapt: int = 0,
) -> Chain:
    """Repeat the kernel from x ``[batch, *event]`` and return where the chains end.

    Args:
        sampler: the kernel.
        energy: the target, context bound; frozen while the chain runs.
        x: starting points; not modified.
        generator: source of the noise: one, or one per chunk of 64 chains.
        n_steps: length, default the sampler's own.
        callback: called with (step from 1, state, info) after every step.
        n_adapt: steps at the start in which a kernel that can adapts its step size, each chain for itself.
    """
    with torch.no_grad(), frozen(energy):
        state, info = sampler.init(energy, x, n_adapt), None
        for i in range(sampler.n_steps if n_steps is None else n_steps):
            state, info = sampler.step(energy, state, draw_noise(sampler, generator, x))
            if callback is not None:
                callback(i + 1, state, info)
    return Chain(state.x, state, info)
