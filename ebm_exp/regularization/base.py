"""What a term of the loss may do: wrap the energy once, add a value in every step.

``regularization.<name>`` are terms that keep an energy smooth and small; ``objective.terms.<name>`` those that belong
to an objective (KL through the chain, entropy).
"""

from abc import ABC
from collections.abc import ItemsView, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ebm_exp.buffer.base import Buffer
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.part import Part
from ebm_exp.random import Source
from ebm_exp.types import Batch, EnergyFn, Labels, PerSample

_WORDS = {  # what a message calls that which terms read
    "negative": "samples",
    "end": "ends of chains",
    "buffer": "a replay buffer",
    "labels": "labels",
}


@dataclass(frozen=True)
class Phase:
    """The data of a step (positive phase), or its samples (negative phase), with what is known of them already."""

    x: Batch
    e: PerSample  # their energies, with a graph
    energy: EnergyFn  # their own context (labels, …) bound
    y: Labels | None = None


@dataclass(frozen=True)
class End:
    """Ends of chains as functions of θ, and the energy that scores them: a frozen copy, from before this step."""

    x: Batch  # with a graph
    energy: EnergyFn  # their own context bound, without gradients to θ


@dataclass(frozen=True)
class Step:
    """All that a term may look at."""

    positive: Phase
    engine: Engine
    source: Source  # of random numbers for the batch
    negative: Phase | None = None
    end: End | None = None
    buffer: Buffer | None = None
    metrics: dict[str, Tensor] = field(default_factory=dict)  # takes what a term tells beside its value, full names


class Term(Part, ABC):
    """One term of a loss. Each method does nothing unless a subclass says so.

    Attributes:
        needs: what it reads of a step beside the data: of ``negative``, ``end``, ``buffer``, ``labels``.
        pure: its value follows from the step's tensors, weights and generator alone, never from what it remembers or
            computes on the host (``Objective.pure``).
        couples: it depends on a batch otherwise than by a mean over it, so processes cannot share one.
        through: so many last steps of training chains must carry a graph; None: all.
        through_chains: of so many chains, the first ones; None: of all.
        min_filled: it waits until the buffer holds more points than this.
        bank_size: it compares samples with so many points of the buffer.
    """

    needs: frozenset[str] = frozenset()
    pure: bool = False
    couples: bool = False
    through: int | None = 0
    through_chains: int | None = None
    min_filled: int = 0
    bank_size: int = 0

    def prepare(self, energy: Energy) -> Energy:
        """The energy to train, wrapped if need be; called once, before the optimizer sees its parameters."""
        return energy

    def __call__(self, now: Step) -> Tensor | None:
        """Its weighted value, of any shape, whose mean is added to the loss; None: nothing in this step."""
        return None


class Terms:
    """The terms beside an objective's own, by name.

    Args:
        name: of the objective, as ``objective=`` chooses it.
        gives: what the objective gives them to read, see ``Term.needs``.
        terms: by name.

    Attributes:
        pure: every one of them is, see ``Term``.

    Raises:
        ValueError: naming a term, what it needs and what there is.
    """

    def __init__(self, name: str, gives: frozenset[str], terms: Mapping[str, Term]) -> None:
        for key, term in terms.items():
            missing = sorted(term.needs - gives)
            if missing:
                needed, there = (" and ".join(_WORDS.get(k, k) for k in sorted(names)) for names in (missing, gives))
                raise ValueError(f"{key}: needs {needed}; objective={name} has {there or 'data alone'}")
        self._terms = dict(terms)
        self.pure = all(term.pure for term in terms.values())

    def __call__(self, now: Step) -> dict[str, Tensor]:
        """The weighted value of each that has one in this step, of any shape."""
        return {name: value for name, term in self._terms.items() if (value := term(now)) is not None}

    def __getitem__(self, name: str) -> Term:
        return self._terms[name]

    def __len__(self) -> int:
        return len(self._terms)

    def items(self) -> ItemsView[str, Term]:
        """Names and terms."""
        return self._terms.items()

    def describe(self, own: str) -> dict[str, str]:
        """For the outline of a run, after the objective's own term."""
        return {"terms": ", ".join([own, *self._terms])}
