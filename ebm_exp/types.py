"""The vocabulary of signatures: shapes for readers and tests, ranges for the command line."""

from collections.abc import Callable
from typing import Annotated, NamedTuple

from annotated_types import Ge, Gt, Le
from jaxtyping import Float, Int
from pydantic import AllowInfNan
from torch import Tensor

Batch = Float[Tensor, "batch *event"]  # points of the data space
PerSample = Float[Tensor, " batch"]  # one number per point: an energy, a loss
Labels = Int[Tensor, " batch"]
EnergyFn = Callable[[Tensor], Tensor]  # Batch -> PerSample, every context bound

Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[float, Gt(0), AllowInfNan(False)]
NonNegative = Annotated[float, Ge(0), AllowInfNan(False)]
Probability = Annotated[float, Ge(0), Le(1)]
PositiveInt = Annotated[int, Gt(0)]
NonNegativeInt = Annotated[int, Ge(0)]


class Minibatch(NamedTuple):
    """Training points with their labels (None for a data set without classes)."""

    x: Tensor  # [batch, *event]
    y: Tensor | None  # [batch], integers
