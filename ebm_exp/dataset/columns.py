"""The columns of a table as components of points, and back.

A column is a monotone, piecewise linear map w(v) of its values, and a component is x = w, or x = Φ⁻¹(w) where w is a
cumulative frequency.

number       x = (v − mean)/std; or by quantiles, Φ⁻¹ of the empirical distribution
category     text, and numbers of few values: x = Φ⁻¹(w), value k between the cumulative frequencies w_k and w_{k+1}

What repeats is dequantized: a value of a category, of a grid (numbers of so many decimals), or one that many rows share
stands for the interval around it, uniform in w within, so that there is a density and nothing in it is infinitely
narrow; log P(value) ≥ mean log p over its interval (Theis et al. 2016, section 3.1). A category takes one component:
marginals are normal before anything is learned, and intervals touch, so that chains cross from one value to the next
without a valley between (intervals of frequencies: Patki et al. 2016, The Synthetic Data Vault; the distributional
transform: Rüschendorf 2009). One component per value would multiply dimensions, and unordered values are a matter of
the network either way. The most frequent value comes first; numbers keep their order.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

RARE = 1e-6  # least cumulative frequency: x is finite
N_KNOTS = 200  # of a distribution by quantiles
FEW = 20  # a number of at most so many values, each in at least as many rows as that is worth, is a category
ROWS_EACH = 10
COMMON = 0.1  # share of rows of one value from which a number is taken by quantiles: a density has no room for it
MOST_DECIMALS = 9


class Column(NamedTuple):
    """One column.

    Attributes:
        name: of the data.
        v, w: knots of the map, ascending; straight beyond the ends.
        normal: x is Φ⁻¹(w).
        step, origin: of the grid that values lie on; 0: none.
        decimals: that values are written with; None: as they come.
        atoms: values off any grid that many rows share.
        width: of the interval that stands for an atom.
        values: what stands for 0, 1, 2, … of a category, text or numbers; None: a number.
    """

    name: str
    v: list[float]
    w: list[float]
    normal: bool = False
    step: float = 0.0
    origin: float = 0.0
    decimals: int | None = None
    atoms: tuple[float, ...] = ()
    width: float = 0.0
    values: list[Any] | None = None

    def describe(self) -> str:
        """The name, and what is done with it beside standardising."""
        if self.values is not None:
            return f"{self.name} ({len(self.values)} values)"
        return f"{self.name} (by quantiles)" if self.normal else self.name


def number(name: str, v: np.ndarray, by_quantiles: bool = False) -> Column:
    """A column of numbers ``[n]``, float64, of the training rows.

    Raises:
        ValueError: when it is constant, or too large to standardise.
    """
    mean, std, largest = float(v.mean()), float(v.std()), float(np.abs(v).max())
    if not math.isfinite(std):
        raise ValueError(f"column {name} has values too large to standardise, up to {largest:g}")
    if std <= 1e-12 * largest or std == 0:
        raise ValueError(f"column {name} is constant over the training rows; dataset.leave_out=[{name}] leaves it out")
    distinct, counts = np.unique(v, return_counts=True)
    step, decimals = find_grid(distinct)
    if len(distinct) > 0.95 * len(v):
        step = 0.0  # hardly any repeats
    common = counts > max(COMMON * len(v), 2)
    if not (by_quantiles or common.any()):
        return Column(name, [mean, mean + std], [0.0, 1.0], step=step, origin=float(distinct[0]), decimals=decimals)
    atoms = [] if step else [float(a) for a in distinct[counts > max(0.01 * len(v), 2)]]
    width = 1e-6 * float(np.diff(distinct).min()) if atoms and len(distinct) > 1 else 0.0
    knots_v, knots_w = _quantiles(distinct, counts, step, set(atoms), width)
    return Column(name, knots_v, knots_w, True, step, float(distinct[0]), decimals, atoms, width)


def category(name: str, v: np.ndarray, others: Sequence[Any] = ()) -> Column:
    """A column of few values ``[n]`` of the training rows; ``others`` are values of held-out rows alone."""
    found: list[Any]
    if v.dtype.kind == "f":
        distinct, counts = np.unique(v, return_counts=True)
        count = dict(zip(distinct.tolist(), counts.tolist(), strict=True))
        found = sorted({*distinct.tolist(), *others})
    else:
        texts, counts = np.unique(v.astype(str), return_counts=True)
        count = dict(zip(texts.tolist(), counts.tolist(), strict=True))
        found = sorted({*texts.tolist(), *map(str, others)}, key=lambda each: (-count.get(each, 0), each))
    if len(count) < 2:
        raise ValueError(f"column {name} is constant over the training rows; dataset.leave_out=[{name}] leaves it out")
    share = np.array([max(count.get(each, 0), 0.5) for each in found])
    w = np.concatenate([[0.0], np.cumsum(share / share.sum())])
    return Column(name, [k - 0.5 for k in range(len(found) + 1)], w.tolist(), True, 1.0, 0.0, 0, values=found)


def is_few(v: np.ndarray) -> bool:
    """Whether numbers ``[n]`` are so few that they are a category."""
    n = len(np.unique(v))
    return n <= FEW and n * ROWS_EACH <= len(v)


def find_grid(distinct: np.ndarray) -> tuple[float, int | None]:
    """The step of the grid that ascending numbers lie on, 0 for none, and with how many decimals they are written."""
    if len(distinct) < 2:
        return 0.0, None
    largest = max(abs(float(distinct[0])), abs(float(distinct[-1])), 1e-300)
    for decimals in range(MOST_DECIMALS + 1):
        if 10.0**decimals * largest > 1e12:
            break
        whole = np.round(distinct * 10.0**decimals)
        if np.allclose(whole, distinct * 10.0**decimals, rtol=1e-12, atol=1e-6):
            return float(np.gcd.reduce(np.diff(whole).astype(np.int64))) / 10.0**decimals, decimals
    return 0.0, None


def _quantiles(
    distinct: np.ndarray, counts: np.ndarray, step: float, atoms: set[float], width: float
) -> tuple[list[float], list[float]]:
    """Knots of the cumulative distribution: the edges of each value's interval, the middle where it has none."""
    after = np.cumsum(counts) / counts.sum()
    before = after - counts / counts.sum()
    v: list[float] = []
    w: list[float] = []
    last = len(distinct) - 1
    thinned = {int(k) for k in np.searchsorted(after, np.linspace(0, 1, N_KNOTS)).clip(0, last)} | {0, last}
    for k, value in enumerate(distinct.tolist()):
        heavy = counts[k] > COMMON / 10 * counts.sum()
        if not (k in thinned or heavy or k + 1 in thinned):
            continue
        half = step / 2 if step else width / 2 if value in atoms else 0.0
        if half:
            v += [value - half, value + half]
            w += [float(before[k]), float(after[k])]
        else:
            v.append(value)
            w.append(float(before[k] + after[k]) / 2)
    reach = v[-1] - v[0]
    v, w = [v[0] - reach, *v, v[-1] + reach], [0.0, *w, 1.0]
    # A straight stretch between two edges may hold no row: it keeps a little, so that the map can be inverted.
    kept_v, kept_w = [v[0]], [w[0]]
    for a, b in zip(v[1:], w[1:], strict=True):
        if a > kept_v[-1]:
            kept_v.append(a)
            kept_w.append(b)
    wide = np.maximum.accumulate(np.array(kept_w) + RARE * np.arange(len(kept_w)))
    return kept_v, ((wide - wide[0]) / (wide[-1] - wide[0])).tolist()


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
        v = v + (2 * u.double() - 1) * self._half_width(v)
        w = self._interpolate(v, self.v, self.w)
        return torch.where(self.normal, torch.special.ndtri(w.clamp(RARE, 1 - RARE)), w).float()

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
