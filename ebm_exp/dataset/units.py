"""What the points of a data set are in units of their own, and back.

A density is learned on points of a box. Whoever brings data, or looks at samples, means grey levels, or rows of a
table with names and types. A run records its units, so that they are known where the data are not at hand.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.types import Batch, PerSample


class Units(ABC):
    """Encodes what is in own units as points ``[n, *event]``, and decodes points.

    Attributes:
        kind: the word that a run's record has for it.
        plane: the box of the plane that points ``[2]`` are decoded to; None: they are others.
    """

    kind: ClassVar[str]
    plane: Domain | None = None

    def __init__(self, domain: Domain) -> None:
        self.domain = domain

    @abstractmethod
    def encode(self, raw: Any, missing: bool = False) -> Batch:
        """Points ``[n, *event]``, float32 on the CPU.

        Args:
            raw: in own units.
            missing: let what is missing through, as NaN.

        Raises:
            ValueError: naming the shape, type, column or value that these units have not.
        """

    @abstractmethod
    def decode(self, x: Batch) -> Any:
        """Points ``[n, *event]`` of any device in own units."""

    def log_scale(self, x: Batch) -> PerSample:
        """What turns log p(x) into nats of own units, ``[n]`` in float64: it is to be added."""
        return x.new_zeros(len(x), dtype=torch.float64)

    @property
    def discrete(self) -> bool:
        """Whether a likelihood in own units is a lower bound of one that has probabilities in it."""
        return False

    def describe(self) -> str:
        """A few words for the outline of a run; empty: nothing is to be said."""
        return ""

    def facts(self) -> dict[str, Any]:
        """Plain values that ``read_units`` makes the same units of."""
        return {"kind": self.kind}


class Points(Units):
    """Points that are what they are: numbers in the domain's own units."""

    kind = "points"

    def encode(self, raw: Any, missing: bool = False) -> Batch:
        x = as_array(raw)
        if x.dtype.kind not in "fiu":
            raise ValueError(f"points must be numbers, got {x.dtype}")
        if not missing and not np.isfinite(x).all():
            raise ValueError("points must be finite, some hold NaN or infinite values")
        return torch.from_numpy(_of_event(x, self.domain.event_shape).astype(np.float32))

    def decode(self, x: Batch) -> np.ndarray:
        return x.detach().float().cpu().numpy()


class Levels(Units):
    """Grey levels 0 … n_levels − 1: images ``[n, H, W]`` of one channel, ``[n, H, W, C]`` of more.

    Args:
        domain: the box.
        n_levels: how many there are.
        dequantized: levels are bins that tile the box, with noise within; else the first is its lower end, the last
            its upper one.
    """

    kind = "levels"

    def __init__(self, domain: Domain, n_levels: int = 256, dequantized: bool = False) -> None:
        super().__init__(domain)
        self.n_levels, self.dequantized = n_levels, dequantized
        self.width = (domain.high - domain.low) / (n_levels if dequantized else n_levels - 1)

    def encode(self, raw: Any, missing: bool = False) -> Batch:
        """Points of levels ``[n, H, W]``, ``[n, H, W, C]`` or ``[n, C, H, W]``; of a bin its middle."""
        levels, event = as_array(raw), self.domain.event_shape
        if len(event) == 3:
            channels, height, width = event
            if levels.ndim == 3 and channels == 1:
                levels = levels[:, None]
            elif levels.ndim == 4 and levels.shape[1:] == (height, width, channels):
                levels = levels.transpose(0, 3, 1, 2)
        levels = _of_event(levels, event)
        whole = levels.dtype.kind in "iub" or (levels.dtype.kind == "f" and bool((levels == levels.round()).all()))
        if not whole or (levels.size and not 0 <= levels.min() <= levels.max() < self.n_levels):
            ends = f"{levels.dtype} from {levels.min():g} to {levels.max():g}" if levels.size else levels.dtype
            raise ValueError(f"images must be whole levels from 0 to {self.n_levels - 1}, got {ends}")
        middle = 0.5 if self.dequantized else 0.0
        return torch.from_numpy(self.domain.low + (levels.astype(np.float32) + np.float32(middle)) * self.width).float()

    def decode(self, x: Batch) -> np.ndarray:
        """The nearest levels, uint8."""
        steps = (x.detach().double().cpu() - self.domain.low) / self.width
        levels = (steps.floor() if self.dequantized else steps.round()).clamp(0, self.n_levels - 1)
        found = levels.to(torch.uint8).numpy()
        if len(self.domain.event_shape) != 3:
            return found
        return found[:, 0] if found.shape[1] == 1 else found.transpose(0, 2, 3, 1)

    def log_scale(self, x: Batch) -> PerSample:
        if self.n_levels == 2 and not self.dequantized:  # p is of probabilities
            return super().log_scale(x)
        return super().log_scale(x) + math.prod(self.domain.event_shape) * math.log(self.width)

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"n_levels": self.n_levels, "dequantized": self.dequantized}


def read_units(facts: Mapping[str, Any] | None, domain: Domain) -> Units:
    """The units that a run recorded; points as they are where it recorded none."""
    said: Mapping[str, Any] = {"kind": Points.kind} if facts is None else facts
    if said["kind"] == Levels.kind:
        return Levels(domain, said.get("n_levels", 256), said.get("dequantized", False))
    if said["kind"] == "table":
        from ebm_exp.dataset.table_units import TableUnits, read_columns

        return TableUnits(domain, read_columns(said.get("columns", [])), said.get("label"))
    if said["kind"] == "gray_code":
        from ebm_exp.dataset.gray_units import GrayUnits

        return GrayUnits(domain, said["half_width"])
    return Points(domain)


def as_array(raw: Any) -> np.ndarray:
    """What somebody hands over, an array or a tensor of any device, as an array."""
    return raw.detach().cpu().numpy() if isinstance(raw, Tensor) else np.asarray(raw)


def _of_event(x: np.ndarray, event_shape: tuple[int, ...]) -> np.ndarray:
    if x.shape[1:] != event_shape or x.ndim == 0:
        raise ValueError(f"must be of shape [n, {', '.join(map(str, event_shape))}], got {list(x.shape)}")
    return x
