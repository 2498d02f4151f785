"""What every engine does: freeze energies, run chains on them, and differentiate them, in one precision."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.engine.target import Target
from ebm_exp.part import Part
from ebm_exp.precision import autocast
from ebm_exp.sampler.base import Sampler
from ebm_exp.sampler.chain import Chain, Generators, Watch
from ebm_exp.types import Batch, EnergyFn, Provided


class Engine(Part, ABC):
    """How gradients and chains are computed.

    Args:
        device: where.
        precision: ``bf16`` runs energies under autocast; parameters and points stay float32, and so do chains whose
            steps compare energies (all but Langevin's): bf16 rounds an energy by up to 1/256 of it, which can be many
            T, and a step size that adapts to such an acceptance goes to 0. ``auto`` takes it on CUDA devices that
            compute in it.
    """

    def __init__(
        self, device: Provided[torch.device], precision: Literal["float32", "bf16", "auto"] = "float32"
    ) -> None:
        self.device = device
        if precision == "auto":
            precision = "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
        self.precision = precision
        self._targets: WeakKeyDictionary[Energy, Target] = WeakKeyDictionary()

    def autocast(self) -> torch.autocast:
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
        *,
        temperature: float,
        n_steps: int | None = None,
        watch: Watch | None = None,
        n_adapt: int = 0,
        scale: float | Tensor = 1.0,
        through: int = 0,
        through_chains: int | None = None,
        **context: Tensor | None,
    ) -> Chain:
        """Run chains from x ``[batch, *event]``.

        Args:
            sampler: the kernel.
            target: what it samples.
            x: starting points; not modified.
            generators: source of the noise, see ``run_chain``.
            temperature: T for a kernel that has none of its own.
            n_steps: length; None: the sampler's own.
            watch: see ``run_chain``; not together with ``through``.
            n_adapt: steps at the start in which a step size adapts.
            scale: a factor on the step size, or one ``[batch]`` for each chain.
            through: so many last steps carry a graph to the parameters of the live energy.
            through_chains: of so many chains, the first ones; None: of all.
            context: of the energy (labels, …), each ``[batch, …]``; it takes what it names.
        """

    @abstractmethod
    def repeat(
        self,
        work: Callable[[Any, torch.Generator], Any],
        given: Any,
        generator: torch.Generator,
        changes: Iterable[Tensor] = (),
    ) -> Any:
        """``work(given, generator)``, which is called again and again, and may be recorded.

        Args:
            work: the same callable each time; its values follow from the numbers of the inputs, from weights and from
                the generator alone, never from anything that Python remembers or counts.
            given: inputs, tensors in tuples and mappings.
            generator: that work draws from; afterwards nobody does.
            changes: tensors beside its inputs that work changes in place.

        Returns:
            What work returns; the next call may write over its tensors.
        """

    @abstractmethod
    def gradient(self, energy: EnergyFn, x: Batch, create_graph: bool = False) -> Batch:
        """∇E at x ``[batch, *event]``; with a graph where a loss differentiates it."""
