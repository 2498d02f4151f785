"""Markov kernels on energies.

x is a batch of independent chains ``[batch, *event]``; the target is p_T(x) ∝ exp(−E(x)/T). A kernel's step is pure:
the randomness of a step is drawn beforehand and handed in, so the same noise gives the same chain whoever runs it.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from ebm_exp.part import Part
from ebm_exp.types import Batch, EnergyFn, per_point

State = Any  # a sampler's own NamedTuple of tensors, each [batch, …] or a scalar; one field is x, [batch, *event]
Noise = Any  # a sampler's own tuple of tensors, each [batch, …]


class Control(NamedTuple):
    """What may change from step to step without the kernel knowing why: a ladder, an annealing, a remedy."""

    temperature: Tensor  # [] or [batch], T of the target
    scale: Tensor  # [] or [batch], a factor on the step size
    prepared: tuple[Tensor, ...] | None = None  # what a kernel has made of the two, see ``Sampler.prepare``


@runtime_checkable
class Info(Protocol):
    """What a person wants to know of one step: a NamedTuple of tensors as they are, reduced only when asked."""

    def metrics(self) -> dict[str, Tensor]:
        """Scalars, averaged over the batch, by names of ``ebm_exp/metrics.py``: ``chain/…``."""
        ...


class Sampler(nn.Module, Part, ABC):
    """A Markov kernel with its default chain length. It never owns a model: the energy is an argument.

    What it learns from chain to chain in training is a buffer (``register_buffer``), so that checkpoints hold it.

    Attributes:
        n_steps: length of training chains.
        temperature: T of the target that the kernel's own settings say (Langevin: noise²/λ); None: the experiment's.
        clamped: a clamp may act, so that the chain has no exact target and T is only an effective temperature.
        adjusted: steps are accepted or rejected so that the target is exact (Metropolis).
        gradient_only: a step looks at the gradient alone, never at an energy, which may then be rounded.
        binary: points have two levels, the ends of the domain.
        squared: what ``Control.scale`` scales is a squared length (Langevin's λ), not a length.
    """

    n_steps: int
    temperature: float | None = None
    clamped: bool = False
    adjusted: bool = False
    gradient_only: bool = False
    binary: bool = False
    squared: bool = False

    @abstractmethod
    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> State:
        """The state of chains that start at x; a step size that can adapt does so in the first n_adapt steps."""

    @abstractmethod
    def draw(self, generator: torch.Generator, x: Batch) -> Noise:
        """All randomness of one step for chains shaped like x."""

    def prepare(self, control: Control) -> Control:
        """The control of a chain in which it stays, with what steps need not compute anew; it may be left out."""
        return control

    @abstractmethod
    def step(self, energy: EnergyFn, state: State, noise: Noise, control: Control) -> tuple[State, Info]:
        """One transition of every chain: no random number, no host synchronisation, no Python state."""

    def relocate(self, energy: EnergyFn, state: State, x: Batch) -> State:
        """The state at other points x: what it keeps of the energy is computed anew, all else stays."""
        return state._replace(x=x)

    def learn(self, info: Any) -> None:
        """Take in the last step of a training chain, between chains; nothing for most kernels."""

    def unbounded(self) -> Self:
        """A copy of the kernel on all of space, without the walls at which it reflects or clamps points."""
        return copy.deepcopy(self)

    def adapted(self, state: State) -> Tensor | None:
        """How many times as long as at first the steps of each chain have become ``[batch]``; None: it adapts none."""
        return None


def describe_temperature(sampler: Sampler, temperature: float) -> str:
    """T for a person, with what a clamp makes of it."""
    kind = "effective temperature (approximate where a clamp acts)" if sampler.clamped else "temperature"
    return f"{kind} {temperature:.3g}"


def per_chain(value: Tensor, x: Tensor) -> Tensor:
    """A scalar or one number per chain ``[batch]``, shaped to multiply x ``[batch, *event]``."""
    return per_point(value, x) if value.dim() else value
