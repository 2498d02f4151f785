"""Images of points that are rows of a table: marginals and pairs of columns in own units, sets over one another.

matplotlib is imported where it draws; a figure of five columns takes some half a second.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ebm_exp.canvas import DATA, MODEL, MORE, open_figure, plain, render, save
from ebm_exp.dataset.units import Units
from ebm_exp.types import Batch

MOST = 5  # columns of an image
_POINTS = 500  # of a set in a pair
_AREA, _FEW = 5, 50  # of a point, in square points of type; of so few points each is larger
_BINS = 30
_NAMES, _LETTERS, _TITLE = 8, 14, 26  # categories that are named; letters of their names, and of a column's
_CELL = 1.55  # inches
_SEED = 0  # of the jitter of categories


class Column(NamedTuple):
    """One column of all sets.

    Attributes:
        name: as the data call it.
        values: ``[n]`` each: numbers, or positions of categories; without what is missing or infinite.
        kept: which rows these are, ``[n_rows]`` each.
        categories: names by position; None: numbers.
    """

    name: str
    values: list[np.ndarray]
    kept: list[np.ndarray]
    categories: list[str] | None


def draw_pairs(path: Path, sets: Mapping[str, Batch], units: Units) -> None:
    """Histograms of columns on the diagonal, scatter plots of pairs below it.

    Of more than five columns those are shown whose marginals disagree most between the first and the last set, or the
    first ones of a single set; the image says which.

    Args:
        path: of the image, a PNG.
        sets: points ``[n, *event]`` by title, the data first, of which pairs are shown below those of the last one.
        units: of the points.
    """
    columns = _columns([units.decode(_finite(x)) for x in sets.values()])
    shown, said = _choose(columns)
    _draw(path, [columns[k] for k in shown], list(sets), said)


def _finite(x: Batch) -> Tensor:
    return x[x.flatten(1).isfinite().all(1)]


def disagreement(column: Column) -> float:
    """How far the first and the last set are apart in a column, 0 … 1.

    The largest difference of cumulative frequencies (Kolmogorov and Smirnov), for categories the total variation.
    """
    a, b = column.values[0], column.values[-1]
    if not len(a) or not len(b):
        return 1.0
    if column.categories is not None:
        shares = [np.bincount(v, minlength=len(column.categories)) / len(v) for v in (a.astype(int), b.astype(int))]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)
    at = np.sort(np.concatenate([a, b]))
    below = [np.searchsorted(np.sort(v), at, side="right") / len(v) for v in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _choose(columns: Sequence[Column]) -> tuple[list[int], str]:
    if len(columns) <= MOST:
        return list(range(len(columns))), ""
    if len(columns[0].values) == 1:
        return list(range(MOST)), f"the first {MOST} of {len(columns)} columns"
    apart = [disagreement(column) for column in columns]
    chosen = sorted(range(len(columns)), key=lambda k: -apart[k])[:MOST]
    return sorted(chosen), f"the {MOST} of {len(columns)} columns that disagree most"


def _columns(tables: Sequence[Any]) -> list[Column]:
    if isinstance(tables[0], np.ndarray):
        arrays = [table.reshape(len(table), -1) for table in tables]
        return [_column(str(k), [array[:, k] for array in arrays]) for k in range(arrays[0].shape[1])]
    return [_column(name, [table[name].to_numpy() for table in tables]) for name in tables[0].columns]


def _column(name: str, found: Sequence[np.ndarray]) -> Column:
    if all(cells.dtype.kind in "fiu" for cells in found):
        kept = [np.isfinite(cells) for cells in found]
        values = [cells[k].astype(np.float64) for cells, k in zip(found, kept, strict=True)]
        return Column(name, values, kept, None)
    texts = [np.array(["" if cell is None else str(cell) for cell in cells]) for cells in found]
    names, counts = np.unique(np.concatenate(texts), return_counts=True)
    ordered = [str(each) for each in names[np.argsort(-counts, kind="stable")] if each]
    if len(ordered) > _NAMES:
        ordered = [*ordered[: _NAMES - 1], f"{len(ordered) - _NAMES + 1} others"]
    position = {each: k for k, each in enumerate(ordered)}
    kept = [cells != "" for cells in texts]
    values = [
        np.array([position.get(cell, len(ordered) - 1) for cell in cells[k]], dtype=np.float64)
        for cells, k in zip(texts, kept, strict=True)
    ]
    return Column(name, values, kept, ordered)


def _draw(path: Path, columns: Sequence[Column], titles: Sequence[str], said: str) -> None:
    from matplotlib.patches import Patch

    n, named = len(columns), any(column.categories is not None for column in columns)
    # In inches. The legend stands where there are no pairs, of one or two columns above and beside them.
    left, bottom, top, gap, cell = (
        0.95 if named else 0.5,
        0.95 if named else 0.3,
        0.3,
        0.22,
        _CELL if n > 1 else 2 * _CELL,
    )
    beside, above = (1.2, 0.2 + 0.18 * len(titles)) if n < 3 else (0.1, 0.0)
    width, height = (
        before + n * (cell + gap) - gap + after for before, after in ((left, beside), (bottom, top + above))
    )
    figure = open_figure(width, height, None)
    rng, colors = np.random.default_rng(_SEED), _colors(len(titles))
    limits = [_limits(column) for column in columns]
    for i in range(n):
        for j in range(i + 1):
            x, y = left + j * (cell + gap), bottom + (n - 1 - i) * (cell + gap)
            axes = figure.add_axes((x / width, y / height, cell / width, cell / height))
            axes.set_xlim(*limits[j])
            axes.tick_params(labelsize=7, length=2, pad=2)
            axes.spines[["top", "right"]].set_visible(False)
            _name_ticks(axes.xaxis, columns[j], i == n - 1)
            if i == j:
                axes.set_title(_shorten(columns[i].name, _TITLE), fontsize=8, loc="left", pad=4)
                axes.set_yticks([])
                _histogram(axes, columns[i], limits[i], colors)
            else:
                axes.set_ylim(*limits[i])
                _name_ticks(axes.yaxis, columns[i], j == 0)
                _scatter(axes, columns[j], columns[i], colors, rng)
    patches = [Patch(color=color, label=title) for title, color in zip(titles, colors, strict=True)]
    figure.legend(handles=patches, loc="upper right", frameon=False, fontsize=9, title=said or None, title_fontsize=9)
    save(render(figure), path)


def _colors(n: int) -> list[str]:
    """Of n sets: the data's, those of further ones, and at last that of samples."""
    return [DATA] if n == 1 else [DATA, *(MORE[k % len(MORE)] for k in range(n - 2)), MODEL]


def _limits(column: Column) -> tuple[float, float]:
    """What is shown of an axis: all data, and all but the outermost percent of further sets."""
    if column.categories is not None:
        return -0.6, len(column.categories) - 0.4
    first, *more = column.values
    ends = [(v.min(), v.max()) for v in (first,) if len(v)] + [np.quantile(v, (0.005, 0.995)) for v in more if len(v)]
    if not ends:
        return 0.0, 1.0
    low, high = min(float(a) for a, _ in ends), max(float(b) for _, b in ends)
    margin = 0.04 * (high - low) or max(1.0, abs(low)) * 0.5
    return low - margin, high + margin


def _histogram(axes: Any, column: Column, limits: tuple[float, float], colors: Sequence[str]) -> None:
    if column.categories is not None:
        at = np.arange(len(column.categories))
        width = 0.8 / len(column.values)
        for k, (v, color) in enumerate(zip(column.values, colors, strict=True)):
            share = np.bincount(v.astype(int), minlength=len(at)) / max(1, len(v))
            axes.bar(at - 0.4 + (k + 0.5) * width, share, width, color=color, alpha=0.85)
        return
    edges = _edges(column.values[0], limits)
    for k, (v, color) in enumerate(zip(column.values, colors, strict=True)):
        share = np.histogram(v, edges)[0] / max(1, len(v))
        axes.stairs(share, edges, fill=k == 0, color=color, alpha=0.45 if k == 0 else 1.0, linewidth=1.3)
    axes.set_ylim(bottom=0)


def _edges(v: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Of bars; of numbers with few decimals each bar holds equally many, else they would look like a comb."""
    low, high = limits
    for grid in (1.0, 0.1, 0.01):
        if len(v) and high - low > 2 * grid and np.allclose(v / grid, (v / grid).round(), rtol=0, atol=1e-6):
            step = grid * max(1, math.ceil((high - low) / _BINS / grid - 1e-9))
            first = grid * (math.floor(low / grid) - 0.5)
            return first + step * np.arange(math.ceil((high - first) / step) + 1)
    return np.linspace(low, high, _BINS + 1)


def _scatter(axes: Any, across: Column, up: Column, colors: Sequence[str], rng: np.random.Generator) -> None:
    """The first set and the last, their points in turn, so that neither hides the other; a set of few stands out."""
    points, shades, sizes = [], [], []
    for k in sorted({0, len(colors) - 1}):
        both = across.kept[k] & up.kept[k]
        x, y = (_jittered(each.values[k][both[each.kept[k]]][:_POINTS], each, rng) for each in (across, up))
        points.append(np.stack([x, y], axis=1))
        shades += [colors[k]] * len(x)
        sizes += [_AREA if len(x) > _FEW else 4 * _AREA] * len(x)
    together = np.concatenate(points)
    order = rng.permutation(len(together))
    axes.scatter(*together[order].T, s=np.array(sizes)[order], c=np.array(shades)[order], alpha=0.55, linewidths=0)


def _jittered(v: np.ndarray, column: Column, rng: np.random.Generator) -> np.ndarray:
    return v if column.categories is None else v + rng.uniform(-0.32, 0.32, len(v))


def _name_ticks(axis: Any, column: Column, outer: bool) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter

    if column.categories is None:
        axis.set_major_locator(MaxNLocator(3))
        axis.get_offset_text().set_fontsize(6)
    else:
        names = [_shorten(name, _LETTERS) for name in column.categories]
        axis.set_ticks(range(len(names)), names)
        if axis.axis_name == "x" and sum(map(len, names)) > _TITLE - 2 * len(names):
            for label in axis.get_ticklabels():
                label.set(rotation=60, ha="right", rotation_mode="anchor")
    if not outer:
        axis.set_major_formatter(NullFormatter())


def _shorten(name: str, n: int) -> str:
    name = " ".join(name.split())
    return plain(name if len(name) <= n else name[: n - 1] + "…")
