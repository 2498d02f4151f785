"""The maps of columns (see ``columns.py``) as tensors, for many rows at once on any device."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ebm_exp.dataset.columns import Column

RARE = 1e-7  # least cumulative frequency: x is finite
MARGIN = 1e-3  # of an interval, that no point lies in: x is rounded to float32, and stays within


class Maps:
    """The maps of several columns at once, as tensors.

    Args:
        columns: d of them.
        device: where they are needed.
    """

    def __init__(self, columns: Sequence[Column], device: torch.device | str = "cpu") -> None:
        self.columns = list(columns)

        def tensor(rows: Sequence[Any], dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.tensor(rows, dtype=dtype, device=device)

        n = max((len(c.v) for c in columns), default=0)
        # Knots beyond a column's own lie on its last stretch, out of reach.
        self.v = tensor([_stretched(c.v, n) for c in columns])  # [d, n]
        self.w = tensor([_stretched(c.w, n) for c in columns])
        self.last = tensor([len(c.v) - 1 for c in columns], torch.int64).unsqueeze(1)
        self.normal = tensor([c.normal for c in columns], torch.bool)
        self.step, self.origin = tensor([c.step for c in columns]), tensor([c.origin for c in columns])
        m = max((len(c.atoms) for c in columns), default=0)
        self.atoms = tensor([[*c.atoms, *[math.inf] * (m - len(c.atoms))] for c in columns]).view(len(columns), m)
        self.half = tensor([c.width / 2 for c in columns])
        self.repeats = any(c.step or c.atoms for c in columns)

    def to_points(self, v: Tensor, u: Tensor) -> Tensor:
        """Components ``[n, d]``, float32, of values, each anywhere in its interval, by u in [0, 1)."""
        v = v + (2 * u.double() - 1) * ((1 - MARGIN) * self._half_width(v))
        w = self._interpolate(v, self.v, self.w)
        return torch.where(self.normal, torch.special.ndtri(w.clamp(RARE, 1 - RARE)), w).float()

    def encode(self, v: Tensor, u: Tensor) -> Tensor:
        """The same, surely of these values: where an interval is as narrow as float32 is coarse, its middle."""
        x = self.to_points(v, u)
        other = (self.to_values(x) - v).abs() > 0.25 * self.step
        return torch.where((self.step > 0) & other, self.to_points(v, torch.full_like(v, 0.5)), x)

    def to_values(self, x: Tensor) -> Tensor:
        """Values ``[n, d]``, float64, of components; what is an interval becomes the value that it stands for."""
        v = self._unsnapped(x)
        step = torch.where(self.step > 0, self.step, 1.0)
        v = torch.where(self.step > 0, self.origin + step * ((v - self.origin) / step).round(), v)
        for atom in self.atoms.unbind(1):
            v = torch.where((v - atom).abs() <= self.half, atom, v)
        return v

    def redraw(self, x: Tensor, u: Tensor) -> Tensor:
        """Other components ``[n, d]`` of the same values."""
        return self.to_points(self.to_values(x), u) if self.repeats else x

    def log_scale(self, x: Tensor) -> Tensor:
        """log dx/dv of each component ``[n, d]``, and the width of an atom's interval: what log p(x) lacks."""
        w = self._w(x)
        k = self._stretch(w, self.w)
        run, rise = self._over(self.v, k), self._over(self.w, k)
        slope = rise.log() - run.log()
        normal = x.double().square() / 2 + math.log(2 * math.pi) / 2
        found = slope + torch.where(self.normal, normal, 0.0)
        if self.atoms.shape[1]:
            v = self.to_values(x)
            is_atom = (v.unsqueeze(2) == self.atoms).any(2)
            found = found + torch.where(is_atom, (2 * self.half).log(), 0.0)
        return found

    def _half_width(self, v: Tensor) -> Tensor:
        is_atom = (v.unsqueeze(2) == self.atoms).any(2)
        return self.step / 2 + torch.where(is_atom, self.half, 0.0)

    def _w(self, x: Tensor) -> Tensor:
        x = x.double()
        return torch.where(self.normal, torch.special.ndtr(x), x)

    def _unsnapped(self, x: Tensor) -> Tensor:
        return self._interpolate(self._w(x), self.w, self.v)

    def _stretch(self, at: Tensor, knots: Tensor) -> Tensor:
        """The number ``[d, n]`` of the knot that a stretch ends at."""
        k = torch.searchsorted(knots, at.T.contiguous(), right=True)
        return k.clamp(min=1).minimum(self.last)

    def _over(self, knots: Tensor, k: Tensor) -> Tensor:
        return (knots.gather(1, k) - knots.gather(1, k - 1)).T

    def _interpolate(self, at: Tensor, knots: Tensor, values: Tensor) -> Tensor:
        k = self._stretch(at, knots)
        slope = self._over(values, k) / self._over(knots, k)
        return values.gather(1, k - 1).T + (at - knots.gather(1, k - 1).T) * slope


def _stretched(knots: Sequence[float], n: int) -> list[float]:
    last = knots[-1] - knots[-2]
    return [*knots, *(knots[-1] + last * (i + 1) for i in range(n - len(knots)))]
