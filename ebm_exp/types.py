"""The vocabulary of signatures: shapes for readers and tests, and all of ``ranges.py``."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from ebm_exp.ranges import (
    Classifies,
    Conditional,
    EventShape,
    Finite,
    From,
    Name,
    NClasses,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
    Probability,
    Provided,
)

__all__ = [
    "Batch",
    "Classifies",
    "Conditional",
    "EnergyFn",
    "EventShape",
    "Finite",
    "From",
    "Labels",
    "NClasses",
    "Name",
    "NonNegative",
    "NonNegativeInt",
    "PerSample",
    "Points",
    "Positive",
    "PositiveInt",
    "Probability",
    "Provided",
    "Transform",
    "per_point",
]

Batch = Float[Tensor, "batch *event"]  # points of the data space
PerSample = Float[Tensor, " batch"]  # one number per point: an energy, a loss
Labels = Int[Tensor, " batch"]
EnergyFn = Callable[[Tensor], Tensor]  # Batch -> PerSample, every context bound
Transform = Callable[[Tensor, Any, str], Tensor]  # Batch -> Batch, its numbers named by a ``random.Source`` and purpose


def per_point(values: Tensor, x: Tensor) -> Tensor:
    """One number for each point ``[batch]``, shaped to go with x ``[batch, *event]``."""
    return values.view(-1, *[1] * (x.dim() - 1))


class Points(NamedTuple):
    """Data, samples, starts of chains: points with their labels, if they have any."""

    x: Tensor  # [batch, *event]
    y: Tensor | None = None  # [batch], integers
