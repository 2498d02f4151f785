"""Which columns and rows of a table are data."""

import logging
from collections.abc import Sequence

import numpy as np

from ebm_exp.dataset.cells import Cells
from ebm_exp.dataset.columns import Column, category, is_few, number, say_without
from ebm_exp.dataset.header import is_number
from ebm_exp.dataset.names import find
from ebm_exp.text import listed
from ebm_exp.types import Name

_LOG = logging.getLogger(__name__)


def position(key: str, column: Name, names: list[str]) -> int:
    """The position of a column that is called by name or number.

    Raises:
        ValueError: when there is none, or there are several.
    """
    several = ""
    try:
        if (found := find(column, names, from_the_end=True)) is not None:
            return found
    except ValueError as error:
        several = f"; {error}"
    raise ValueError(
        f"{key}: must be one of {listed(names)}, or a number from 0 to {len(names) - 1}, got {column}{several}"
    )


def choose(columns: Sequence[Name] | None, leave_out: Sequence[Name], label: int | None, table: Cells) -> list[int]:
    """The positions of the columns that are data, in their order."""
    names = table.names
    left_out = {position("leave_out", column, names) for column in leave_out}
    if columns is None:
        chosen = [k for k in range(len(names)) if k not in (label, *left_out, *table.left_out)]
        if not chosen:
            raise ValueError("path: beside the labels there is no column")
        return chosen
    chosen = [position("columns", column, names) for column in columns]
    if not chosen or len(set(chosen)) < len(chosen) or label in chosen or left_out & set(chosen):
        raise ValueError(f"columns: must be different ones, and not that of the labels, got {list(columns)}")
    return chosen


def is_missing(column: np.ndarray) -> np.ndarray:
    """Which cells ``[n]`` of a column hold nothing."""
    if column.dtype.kind == "f":
        return np.isnan(column)
    return np.array([cell is None for cell in column], dtype=bool)


def without_gaps(table: Cells, data: list[int], label: int | None, missing: str) -> Cells:
    """The rows that a data set can use: all of them if there are no gaps, or if gaps are filled.

    Raises:
        ValueError: when something is missing that must not, with what helps.
    """
    gaps = {k: is_missing(table.columns[k]) for k in [*data, *([] if label is None else [label])]}
    n = {k: int(gap.sum()) for k, gap in gaps.items() if gap.any()}
    if not n or (missing == "impute" and label not in n):
        return table
    incomplete = np.logical_or.reduce(list(gaps.values()))
    if missing != "drop":
        k = label if missing == "impute" and label is not None else next(iter(n))
        place = table.where(int(np.flatnonzero(gaps[k])[0]))
        others = f", {len(n) - 1} more columns have gaps" if len(n) > 1 else ""
        cure = "a label is not drawn" if k == label else "dataset.missing=impute draws what is missing"
        raise ValueError(
            f"path: {table.file}, {place}: column {table.names[k]} is empty, as in {n[k]:,} of {len(incomplete):,} rows"
            f"{others}; dataset.missing=drop leaves out {incomplete.sum():,}, {cure}"
        )
    _LOG.warning("%s: %s of %s rows have gaps, and are left out", table.file, f"{incomplete.sum():,}", len(incomplete))
    kept = np.flatnonzero(~incomplete)
    where = table.where
    return table._replace(columns=[c[kept] for c in table.columns], where=lambda row: where(int(kept[row])))


def make_column(
    table: Cells, k: int, train: np.ndarray, by_quantiles: bool, as_category: bool | None
) -> tuple[Column, np.ndarray]:
    """What becomes of column k, and its values ``[n]`` as numbers: of a category its position; NaN is missing.

    Args:
        table: all rows.
        k: the column.
        train: the rows to learn it from.
        by_quantiles: of a number.
        as_category: whether it is a category; None: look at it.
    """
    cells, name = table.columns[k], table.names[k]
    there = ~is_missing(cells)
    trained = there & np.isin(np.arange(len(cells)), train)
    if not trained.any():
        raise ValueError(f"path: column {name} is empty; {say_without(name)}")
    if cells.dtype.kind == "f":
        bad = np.flatnonzero(np.isinf(cells))
        if len(bad):
            raise ValueError(
                f"path: {table.file}, {table.where(int(bad[0]))}: column {name} is {cells[bad[0]]}, no finite number"
            )
        _refuse_index(name, cells)
        if not (is_few(cells[there]) if as_category is None else as_category):
            return number(name, cells[trained], cells[there], by_quantiles), cells
        column, there_values = category(name, cells[trained], cells[there]), cells[there]
    else:
        column, there_values = _text(table, k, trained, there)
    positions = {value: at for at, value in enumerate(column.values or ())}
    v = np.full(len(cells), np.nan)
    v[there] = [positions[value] for value in there_values.tolist()]
    return column, v


def _text(table: Cells, k: int, trained: np.ndarray, there: np.ndarray) -> tuple[Column, np.ndarray]:
    """A category of texts; where nearly all are numbers, the one that is not is named."""
    cells = table.columns[k]
    texts = cells[there].astype(str)
    odd = [i for i in np.flatnonzero(there) if not is_number(cells[i])]
    if len(odd) <= 0.1 * len(texts):
        name, n = table.names[k], len(texts) - len(odd)
        raise ValueError(
            f"path: {table.file}, {table.where(int(odd[0]))}: column {name} must be a number, got {cells[odd[0]]} "
            f"({n:,} of {len(texts):,} cells are numbers; {say_without(name)})"
        )
    return category(table.names[k], cells[trained].astype(str), texts), texts


def find_classes(table: Cells, k: int) -> tuple[np.ndarray, list[str]]:
    """Labels ``[n]`` and the names of the classes, in the order of their names or numbers."""
    cells, name = table.columns[k], table.names[k]
    if cells.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(cells) | (cells != cells.round()))
        if len(bad):
            raise ValueError(f"label_column: {name} holds {cells[bad[0]]:g}; must be text or integers")
        values, labels = np.unique(cells, return_inverse=True)
        names = [str(int(value)) for value in values]
    else:
        values, labels = np.unique(cells.astype(str), return_inverse=True)
        names = [str(value) for value in values]
    if 2 * len(names) > len(labels) > 2:
        raise ValueError(f"label_column: {name} has {len(names)} different values in {len(labels)} rows, no classes")
    return labels.astype(np.int64), names


def _refuse_index(name: str, column: np.ndarray) -> None:
    if len(column) > 2 and column[0] in (0, 1) and (np.diff(column) == 1).all():
        raise ValueError(f"path: column {name} counts the rows; {say_without(name)}")
