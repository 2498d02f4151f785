"""Points of the plane as bits: each coordinate's cell of a grid, by its number in Gray code.

Neighbours on the grid differ in one bit. The square [−h, h]² has 2^b cells a side; bits of a coordinate stand together,
the one that halves the square first.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.units import Units, as_array
from ebm_exp.types import Batch, PerSample


class GrayUnits(Units):
    """Numbers ``[n, 2]`` of a square; a point ``[2b]`` is decoded to the middle of its cell.

    Args:
        domain: [0, 1] in each of 2b bits.
        half_width: h.
    """

    kind = "gray_code"
    names = ("x", "y")  # of columns in a file
    plane: Domain

    def __init__(self, domain: Domain, half_width: float) -> None:
        super().__init__(domain)
        self.n_bits = math.prod(domain.event_shape) // 2
        self.plane = Domain(-half_width, half_width, (2,))
        self.cell = 2 * half_width / 2**self.n_bits

    def encode(self, raw: Any, missing: bool = False) -> Batch:
        """Points of numbers ``[n, 2]`` in the square; all bits of a coordinate that is missing are."""
        points = as_array(raw)
        if points.dtype.kind not in "fiu" or points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"points must be numbers of the plane [n, 2], got {points.dtype} {list(points.shape)}")
        h, gaps = self.plane.high, np.isnan(points)
        if gaps.any() and not missing:
            raise ValueError("points must be finite, some hold NaN or infinite values")
        if (np.abs(points[~gaps]) > h).any():
            raise ValueError(f"points must lie in the square [{-h:g}, {h:g}]²")
        bits = self.bits(torch.from_numpy(np.where(gaps, 0.0, points))).float()
        bits[torch.from_numpy(gaps).repeat_interleave(self.n_bits, 1)] = math.nan
        return bits

    def decode(self, x: Batch) -> np.ndarray:
        return self.middle(x).float().cpu().numpy()

    def bits(self, points: Tensor) -> Tensor:
        """uint8 ``[n, 2b]`` of points ``[n, 2]``; what lies beyond the square has its outermost cell."""
        number = ((points.double() - self.plane.low) / self.cell).floor().long().clamp(0, 2**self.n_bits - 1)
        gray = (number ^ (number >> 1)).unsqueeze(-1)  # [n, 2, 1]
        place = torch.arange(self.n_bits - 1, -1, -1, device=points.device)
        return ((gray >> place) & 1).flatten(1).to(torch.uint8)

    def middle(self, x: Batch) -> Tensor:
        """The middles ``[n, 2]`` of cells, float64; a bit is what it is nearer to."""
        gray = (x.detach() > self.domain.centre).unflatten(1, (2, self.n_bits))
        place = torch.arange(self.n_bits - 1, -1, -1, device=x.device)
        number = ((gray.cumsum(-1) % 2) << place).sum(-1)
        return self.plane.low + (number + 0.5) * self.cell

    def log_scale(self, x: Batch) -> PerSample:
        """From the probability of a cell to the density within it."""
        return super().log_scale(x) - 2 * math.log(self.cell)

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"half_width": self.plane.high}
