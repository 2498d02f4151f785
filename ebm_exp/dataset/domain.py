"""The box on which a density is normalised."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Domain:
    """The box [low, high] in every dimension of ``event_shape``; log Z, chains and images all refer to it.

    Raises:
        ValueError: when low is not below high.
    """

    low: float
    high: float
    event_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"the domain's lower end {self.low} must be below its upper end {self.high}")

    @property
    def centre(self) -> float:
        return (self.low + self.high) / 2

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def uniform(self, n: int, generator: torch.Generator, device: torch.device | None = None) -> Tensor:
        """[n, *event] points, uniform on the box, on the device (null: the generator's)."""
        x = torch.empty(n, *self.event_shape, device=device or generator.device)
        return x.uniform_(self.low, self.high, generator=generator)

    def normal(
        self, n: int, generator: torch.Generator, device: torch.device | None = None, clamp: bool = True
    ) -> Tensor:
        """[n, *event] Gaussian points around the centre, one standard deviation to the wall, clamped to the box."""
        x = torch.empty(n, *self.event_shape, device=device or generator.device)
        x.normal_(self.centre, self.half_width, generator=generator)
        return x.clamp_(self.low, self.high) if clamp else x

    def reflect(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points that left the box, folded back at its walls, and −1 where their direction turned, else 1."""
        width = self.high - self.low
        u = torch.remainder(x - self.low, 2 * width)
        return self.low + width - (u - width).abs(), torch.where(u > width, -1.0, 1.0)
