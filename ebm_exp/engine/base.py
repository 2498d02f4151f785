"""What every engine does: freeze energies, run chains on them, differentiate them and losses, in one precision."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, Self, TypeVar, runtime_checkable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.engine import probe
from ebm_exp.engine.target import Target
from ebm_exp.part import Part
from ebm_exp.precision import autocast
from ebm_exp.sampler.base import Sampler
from ebm_exp.sampler.chain import Chain, Generators, Watch
from ebm_exp.types import Batch, EnergyFn, Provided

log = logging.getLogger(__name__)


class Run(NamedTuple):
    """How chains are run, beside what runs where."""

    temperature: float  # T for a kernel that has none of its own
    n_steps: int | None = None  # length; None: the sampler's own
    watch: Watch | None = None  # see ``run_chain``; not together with ``through``
    n_adapt: int = 0  # steps at the start in which a step size adapts
    scale: float | Tensor = 1.0  # a factor on the step size, or one ``[batch]`` for each chain
    through: int = 0  # so many last steps carry a graph to the parameters of the live energy
    through_chains: int | None = None  # of so many chains, the first ones; None: of all


@runtime_checkable
class Differentiable(Protocol):
    """A loss that an engine differentiates."""

    def total(self) -> Tensor:
        """The scalar that is differentiated."""
        ...

    def detach(self) -> Self:
        """The same without a graph."""
        ...


L = TypeVar("L", bound=Differentiable)


@dataclass(frozen=True, eq=False)
class Work(Generic[L]):
    """A loss that is differentiated again and again; made once, for an engine knows its recording by it.

    Attributes:
        loss: of what was gathered and a generator, computed in the engine's precision.
        params: what it is differentiated by; their ``grad`` is written over.
        changes: tensors beside what is given that the loss changes in place.
        pure: the loss follows from the numbers of what is given, from weights and from the generator alone, never from
            anything that Python remembers or counts: it may be recorded.
    """

    loss: Callable[[Any, torch.Generator], L]
    params: Sequence[Tensor]
    changes: Sequence[Tensor] = ()
    pure: bool = False


class Engine(Part, ABC):
    """How gradients and chains are computed.

    Args:
        device: where.
        precision: ``bf16`` runs energies under autocast; parameters and points stay float32, and so do chains whose
            steps compare energies (all but Langevin's): bf16 rounds an energy by up to 1/256 of it, which can be many
            T, and a step size that adapts to such an acceptance goes to 0. ``auto`` takes it on CUDA devices that
            compute in it, and on processors that are faster in it (``probe.py``); a run stays with what it came to.
    """

    def __init__(
        self, device: Provided[torch.device], precision: Literal["float32", "bf16", "auto"] = "float32"
    ) -> None:
        self.device = device
        on_cpu = device.type == "cpu"
        if precision == "auto":
            has_it = device.type == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bf16" if has_it or (on_cpu and probe.bf16_ratio() < probe.FASTER) else "float32"
        self.precision = precision
        if precision == "bf16" and on_cpu and (ratio := probe.bf16_ratio()) > probe.SLOWER:
            told = "engine.precision: bf16 takes %.1f times as long as float32 on this processor, which emulates it"
            log.warning(told, ratio)
        self.records = False  # what it can
        self.has_failed = False  # to record something
        self._targets: WeakKeyDictionary[Energy, Target] = WeakKeyDictionary()

    def autocast(self) -> AbstractContextManager[object]:
        """Whatever an energy computes inside is in the engine's precision."""
        return autocast(self.device, self.precision == "bf16")

    def target(self, energy: Energy) -> Target:
        """The energy at rest, with its present weights; built once for each energy."""
        target = self._targets.get(energy)
        if target is None or not target.is_current():
            target = self._targets[energy] = Target(energy)
        target.refresh()
        return target

    @abstractmethod
    def run(
        self,
        sampler: Sampler,
        target: Target,
        x: Batch,
        generators: Generators,
        how: Run,
        **context: Tensor | None,
    ) -> Chain:
        """Run chains from x ``[batch, *event]``.

        Args:
            sampler: the kernel.
            target: what it samples.
            x: starting points; not modified.
            generators: source of the noise, see ``run_chain``.
            how: how long, how warm, with what on the way.
            context: of the energy (labels, …), each ``[batch, …]``; it takes what it names.
        """

    @abstractmethod
    def differentiate(
        self, work: Work[L], given: Any, generator: torch.Generator, n_parts: int = 1
    ) -> tuple[L, Tensor, list[Tensor | None]]:
        """A loss and its gradients.

        Args:
            work: the loss, and what it is differentiated by.
            given: what it is computed of, tensors in tuples and mappings.
            generator: that the loss draws from; afterwards nobody does.
            n_parts: a batch is taken in so many parts, and this is one: gradients are that share of the loss's.

        Returns:
            The loss and its total, without a graph, and the gradient of each parameter, None where it has none. The
            next call may write over all of these tensors.
        """

    def compute(self, name: str, key: Hashable, work: Callable[[Any], Any], given: Any) -> Any:
        """What work makes of tensors and numbers alone, again and again.

        Args:
            name: of it, for a message: ``a velocity``.
            key: with the name it says which work this is.
            work: a pure function.
            given: tensors in tuples, lists and mappings, of the same shapes as a rule.

        Returns:
            Its result, which the next call may write over.
        """
        return work(given)

    @abstractmethod
    def gradient(self, energy: EnergyFn, x: Batch, create_graph: bool = False) -> Batch:
        """∇E at x ``[batch, *event]``; with a graph where a loss differentiates it."""
