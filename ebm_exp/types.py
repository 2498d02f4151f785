"""The vocabulary of signatures: shapes for readers and tests, ranges for the command line, and what is filled in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from annotated_types import Ge, Gt, Le
from jaxtyping import Float, Int
from pydantic import AllowInfNan
from torch import Tensor

Batch = Float[Tensor, "batch *event"]  # points of the data space
PerSample = Float[Tensor, " batch"]  # one number per point: an energy, a loss
Labels = Int[Tensor, " batch"]
EnergyFn = Callable[[Tensor], Tensor]  # Batch -> PerSample, every context bound
Transform = Callable[[Tensor, Any, str], Tensor]  # Batch -> Batch, its numbers named by a ``random.Source`` and purpose

Name = str | int | float | bool | None  # as YAML reads it: what is called 1e3 or true comes as a number or a boolean
Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[float, Gt(0), AllowInfNan(False)]
NonNegative = Annotated[float, Ge(0), AllowInfNan(False)]
Probability = Annotated[float, Ge(0), Le(1)]
PositiveInt = Annotated[int, Gt(0)]
NonNegativeInt = Annotated[int, Ge(0)]


def per_point(values: Tensor, x: Tensor) -> Tensor:
    """One number for each point ``[batch]``, shaped to go with x ``[batch, *event]``."""
    return values.view(-1, *[1] * (x.dim() - 1))


@dataclass(frozen=True)
class From:
    """Marks a constructor's parameter that the rest of the experiment fills, unless its own node gives it.

    Args:
        path: a part and attributes of it, e.g. ``dataset.n_classes``; empty: the part of the parameter's own name.
    """

    path: str = ""


T = TypeVar("T")
Provided = Annotated[T, From()]  # sampler: Provided[Sampler] is the experiment's one sampler

EventShape = Annotated[tuple[int, ...], From("dataset.event_shape")]
NClasses = Annotated[int, From("dataset.n_classes")]
Conditional = Annotated[bool, From("energy.conditional")]  # whether chains run under labels
Classifies = Annotated[bool, From("energy.classifies")]  # whether the energy has class scores


class Points(NamedTuple):
    """Data, samples, starts of chains: points with their labels, if they have any."""

    x: Tensor  # [batch, *event]
    y: Tensor | None = None  # [batch], integers
