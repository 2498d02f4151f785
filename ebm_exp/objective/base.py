"""What an objective is called with and what it returns."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from ebm_exp.energy import Energy
from ebm_exp.guard.rule import Rule
from ebm_exp.part import Part
from ebm_exp.random import Source
from ebm_exp.types import Points


class Loss(NamedTuple):
    """One training step's loss, the sum of the means of its terms, and what it was made of."""

    terms: dict[str, Tensor]  # each of any shape, with a graph; logged as train/<name>
    metrics: dict[str, Tensor]  # scalars on the device, without a graph, by their full names
    energies: dict[str, Tensor]  # [batch] each, without a graph, for the histogram; may be empty
    points: Mapping[str, Tensor] = {}  # [batch, *event] each, without a graph: what signals are made of

    def total(self) -> Tensor:
        """The scalar that training minimises."""
        means = [term.mean() for term in self.terms.values()]
        return torch.stack(means).sum() if len(means) > 1 else means[0]

    def detach(self) -> Self:
        """The same without a graph."""
        return self._replace(terms={name: term.detach() for name, term in self.terms.items()})


@runtime_checkable
class Training(Protocol):
    """What an objective is asked about before training: an experiment (``trainer.experiment``)."""

    @property
    def energy(self) -> Energy:
        """What is trained."""
        ...

    @property
    def batch_size(self) -> int:
        """Training points of a step."""
        ...

    @property
    def stateful(self) -> Mapping[str, Any]:
        """The parts that a checkpoint holds, by name."""
        ...


class Objective(nn.Module, Part, ABC):
    """What training minimises. Its own parameters and networks are trained, averaged and saved.

    Parts of the experiment that its constructor is provided with (a sampler, a buffer, …) are used, not owned: the
    builder takes them out of its modules.

    Attributes:
        temperature: T of the density it trains; kernels without one of their own read it.
        clamped: T is only an effective temperature: a clamp may act on its chains, which then have no exact target.
        gives: what terms may read of its steps beside the data: of ``negative``, ``end``, ``buffer``, ``labels``.
        binds: what it gives to an energy that names it in ``context``.
        pure: its ``loss`` follows from weights, inputs and generator alone, never from what it or a part remembers: an
            engine may record it.
        couples: its loss depends on a batch otherwise than by means over it, so processes cannot share one.
        drops_labels: it shows points without their label too, to an energy that takes ``no_label``.
        normalises: a normaliser may stand beside its loss.
        rules: what its signals are in a healthy training.
    """

    temperature: float = 1.0
    clamped: bool = False
    gives: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset({"y"})
    pure: bool = False
    couples: bool = False
    drops_labels: bool = False
    normalises: bool = False
    rules: tuple[Rule, ...] = ()

    def forward(self, energy: Energy, batch: Points, step: int, generator: torch.Generator) -> Loss:
        """The loss of one batch ``[batch, *event]``; all randomness comes from the generator."""
        given, kept = self.gather(energy, batch, step, generator)
        return self.settle(kept, self.loss(energy, given, generator))

    def gather(self, energy: Energy, batch: Points, step: int, generator: torch.Generator) -> tuple[Any, Any]:
        """What a loss is computed of, tensors in tuples (by default the batch), and what is kept for ``settle``.

        Here chains run, and whatever is remembered from step to step is read; nothing is changed, for a step may be
        left here.
        """
        return batch, None

    @abstractmethod
    def loss(self, energy: Energy, given: Any, source: Source) -> Loss:
        """The loss of what was gathered: a sum of means over the batch, for each rank has its rows of it alone.

        Args:
            energy: in training.
            given: see ``gather``.
            source: of random numbers for the batch, see ``random.draw_rows``.
        """

    def settle(self, kept: Any, loss: Loss) -> Loss:
        """Take in what is remembered, once the loss is known; the loss with what there is to tell of it."""
        return loss

    def signals(self, loss: Loss) -> dict[str, Tensor]:
        """Scalars on the device by which a guard tells a healthy step, always the same ones."""
        return {}

    def parameter_groups(self, energy: Energy) -> list[dict[str, Any]]:
        """What the optimizer moves: groups of parameters, each with its own ``lr`` where it has one.

        By default the energy's and the objective's own, with the optimizer's learning rate.
        """
        groups = [[p for p in module.parameters() if p.requires_grad] for module in (energy, self)]
        return [{"params": parameters} for parameters in groups if parameters]

    def panels(self, n: int) -> dict[str, Points]:
        """What images show beside data and samples, by title: about n points each."""
        return {}

    def describe(self) -> dict[str, str]:
        """What the outline of a run says of it, by short titles: its chain, its terms."""
        return {}

    def warnings(self, energy: Energy) -> list[str]:
        """What the outline of a run warns of: what works, but not well."""
        return []

    def check(self, experiment: Training) -> None:
        """Refuse what cannot work, before training begins.

        Raises:
            ValueError: naming the key and what is allowed.
        """
        name, energy = type(self).__name__, experiment.energy
        energy.check_context(self.binds, name)
        if self.drops_labels != (energy.no_label is not None):
            raise ValueError("energy.no_label: true goes with objective.label_dropping > 0, and with no other")
        if "buffer" in experiment.stateful and "buffer" not in self.gives:
            raise ValueError(f"buffer: start=buffer needs an objective that fills a buffer (pcd), {name} does not")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy of its own parameters and networks that shares the parts it only uses."""
        other = copy.copy(self)
        for own in ("_parameters", "_buffers", "_modules"):
            other.__dict__[own] = copy.deepcopy(self.__dict__[own], memo)
        return other
