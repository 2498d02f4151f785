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
from typing import Any, NamedTuple

import numpy as np

from ebm_exp.shell import override_list

BEYOND = 1e-4  # cumulative frequency beyond the rows on either side, as far out as they reach
LEAST = 1e-6  # of a step of the grid: components are float32
N_KNOTS = 200  # of a distribution by quantiles
FEW = 20  # a number of at most so many values, each in at least as many rows as that is worth, is a category
ROWS_EACH = 10
REPEATING = 0.95  # share of different values up to which numbers repeat
COMMON = 0.1  # share of rows of one value from which a number is taken by quantiles: a density has no room for it
MOST_DECIMALS = 9


class Column(NamedTuple):
    """One column.

    Attributes:
        name: of the data.
        v, w: knots of the map, strictly ascending; straight beyond the ends.
        normal: x is Φ⁻¹(w).
        step, origin: of the grid that values lie on; 0: none.
        decimals: that values are written with; None: as they come.
        atoms: values off any grid that many rows share.
        width: of the interval that stands for an atom.
        values: what stands for 0, 1, 2, … of a category, text or numbers; None: a number.
    """

    name: str
    v: tuple[float, ...]
    w: tuple[float, ...]
    normal: bool = False
    step: float = 0.0
    origin: float = 0.0
    decimals: int | None = None
    atoms: tuple[float, ...] = ()
    width: float = 0.0
    values: tuple[Any, ...] | None = None


def number(name: str, v: np.ndarray, every: np.ndarray, by_quantiles: bool = False) -> Column:
    """A column of numbers.

    Args:
        name: of the column.
        v: of training rows ``[n]``, float64; the map is theirs.
        every: of all rows; the grid is theirs, and how far the map reaches.
        by_quantiles: take it by quantiles even if no value is common.

    Raises:
        ValueError: when it is constant, or too large to standardise.
    """
    mean, std, largest = float(v.mean()), float(v.std()), float(np.abs(v).max())
    if not math.isfinite(std):
        raise ValueError(f"path: column {name} has values too large to standardise, up to {largest:g}")
    if std <= 1e-12 * largest:
        raise ValueError(_constant(name))
    distinct, counts = np.unique(v, return_counts=True)
    step, decimals = find_grid(np.unique(every))
    if len(distinct) > REPEATING * len(v):
        step = 0.0
    origin = float(distinct[0])
    if not by_quantiles and counts.max() <= max(COMMON * len(v), 2):
        return Column(name, (mean, mean + std), (0.0, 1.0), False, step, origin, decimals)
    atoms = () if step else tuple(float(a) for a in distinct[counts > max(COMMON / 10 * len(v), 2)])
    width = 1e-6 * float(np.diff(distinct).min()) if atoms else 0.0
    ends = float(every.min()), float(every.max())
    knots = _quantiles(distinct, counts, step, atoms, width, ends)
    return Column(name, *knots, True, step, origin, decimals, atoms, width)


def category(name: str, v: np.ndarray, every: np.ndarray) -> Column:
    """A column of few values, text or numbers: of training rows ``[n]``, which say how often, and of all rows.

    Raises:
        ValueError: when it is constant, or its texts are no categories.
    """
    count = dict(zip(*(each.tolist() for each in np.unique(v, return_counts=True)), strict=True))
    if len(count) < 2:
        raise ValueError(_constant(name))
    values = np.unique(every).tolist()
    if v.dtype.kind == "f":
        values = [int(each) for each in values] if all(each == int(each) for each in values) else values
    else:
        values.sort(key=lambda each: (-count.get(each, 0), each))
    if len(values) > max(FEW, len(every) / 2):
        raise ValueError(
            f"path: column {name} has {len(values):,} different values in {len(every):,} rows, no categories; "
            f"{say_without(name)}"
        )
    share = np.array([max(count.get(each, 0), 0.5) for each in values])
    w = np.concatenate([[0.0], np.cumsum(share / share.sum())])
    edges = np.arange(len(values) + 1) - 0.5
    return Column(name, tuple(edges.tolist()), tuple(w.tolist()), True, 1.0, 0.0, 0, values=tuple(values))


def say_without(name: str) -> str:
    """What to type for a column that cannot be used."""
    return f"{override_list('dataset.leave_out', [name])} leaves it out"


def _constant(name: str) -> str:
    return f"path: column {name} is constant over the training rows; {say_without(name)}"


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
    distinct: np.ndarray,
    counts: np.ndarray,
    step: float,
    atoms: tuple[float, ...],
    width: float,
    ends: tuple[float, float],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots of the cumulative distribution: the edges of each value's interval, the middle where it has none."""
    n = int(counts.sum())
    after = np.cumsum(counts) / n
    before = after - counts / n
    even = np.searchsorted(after, np.linspace(0, 1, N_KNOTS)).clip(0, len(distinct) - 1)
    shown = np.unique(np.concatenate([[0], even, np.flatnonzero(counts > COMMON / 10 * n), [len(distinct) - 1]]))
    edges: list[tuple[float, float]] = []
    for k in shown:
        value = float(distinct[k])
        half = step / 2 if step else width / 2 if value in atoms else 0.0
        if half:
            edges += [(value - half, float(before[k])), (value + half, float(after[k]))]
        else:
            edges.append((value, float(before[k] + after[k]) / 2))
    v, w = (np.array(each) for each in zip(*edges, strict=True))
    ascending = np.concatenate([[True], np.diff(v) > 1e-9 * (v[-1] - v[0] + step) * (not atoms)])
    v, w = v[ascending], w[ascending]
    reach = v[-1] - v[0]
    v = np.concatenate([[min(v[0], ends[0]) - reach], v, [max(v[-1], ends[1]) + reach]])
    w = np.concatenate([[0.0], BEYOND + (1 - 2 * BEYOND) * w, [1.0]])
    # A stretch without rows keeps a little: the map can be inverted there, for values that only other rows have.
    least = LEAST * (np.diff(v) / step if step else np.ones(len(v) - 1))
    w = np.cumsum([0.0, *np.maximum(np.diff(w), least * min(1.0, 0.01 / least.sum()))])
    return tuple(v.tolist()), tuple((w / w[-1]).tolist())
