"""Rows of a file as points of a run, in the units of its data: for modes that are asked about rows of one's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.cells import Cells, read_cells
from ebm_exp.dataset.files import given_file
from ebm_exp.dataset.names import find_classes
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.dataset.units import Units
from ebm_exp.files import replacing
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.text import listed
from ebm_exp.types import Name


class TableOptions(TypedDict, total=False):
    """How a file of rows is read; null: look at its beginning (see ``read_cells``)."""

    header: bool | None
    separator: str | None
    decimal: str | None
    encoding: str | None


class Rows(NamedTuple):
    """What a file holds.

    Attributes:
        cells: as it is written.
        columns: positions in the file of the data's columns, by component; None: the file has no such column.
        label: likewise of the classes.
    """

    cells: Cells
    columns: list[int | None]
    label: int | None

    @property
    def n(self) -> int:
        return len(self.cells.columns[0])

    def column(self, k: int) -> np.ndarray:
        """Component k of each row as it is written, missing where the file has no such column."""
        at = self.columns[k]
        return np.full(self.n, np.nan) if at is None else self.cells.columns[at]

    def written(self, at: int) -> np.ndarray:
        """A column of the file for another file: whole numbers are such."""
        column = self.cells.columns[at]
        if column.dtype.kind != "f":
            return column
        there = column[~np.isnan(column)]
        if not ((np.abs(there) < 2**53) & (there == np.round(there))).all():
            return column
        return np.array([None if each != each else int(each) for each in column], dtype=object)

    def take(self, index: np.ndarray) -> "Rows":
        """Some rows, each as often as it is named."""
        columns, where = [column[index] for column in self.cells.columns], self.cells.where
        return self._replace(cells=self.cells._replace(columns=columns, where=lambda i: where(int(index[i]))))

    def scorable(self, units: Units) -> np.ndarray:
        """Which rows ``[n]`` have a point: nothing is missing, and each value is one that the data can have."""
        if isinstance(units, TableUnits):
            known: np.ndarray = units.knows({name: self.column(k) for k, name in enumerate(units.names)})
        else:
            try:
                values = np.stack([_number(self, k) for k in range(len(self.columns))], axis=1)
                known = ~np.isnan(values) if units.plane is None else np.abs(values) <= units.plane.high
            except ValueError as error:
                raise UserError(f"mode.path: {error}") from None
        return np.asarray(known.all(1))

    def encode(self, units: Units, missing: bool) -> Tensor:
        """Points ``[n, d]``, NaN where something is missing.

        Raises:
            UserError: naming the column and value that the data do not have, or what is missing and may not.
        """
        d = len(self.columns)
        names = _names(units) or [str(k) for k in range(d)]
        raw: Any = {names[k]: self.column(k) for k in range(d)}
        try:
            if not isinstance(units, TableUnits):
                raw = np.stack([_number(self, k) for k in range(d)], axis=1)
            return units.encode(raw, missing)
        except ValueError as error:
            raise UserError(f"mode.path: {error}") from None


def read_rows(path: str, dataset: Dataset, whole: bool, options: TableOptions) -> Rows:
    """The rows of a file, for points ``[d]``.

    Args:
        path: a table (see ``read_cells``): its columns are known by the names that the data have, or by their order
            where the data have none, or the file has none and as many as the data.
        dataset: says what columns there are.
        whole: refuse a file that lacks one of them.
        options: how it is read.

    Raises:
        UserError: when it cannot be read, or its columns are not the data's.
    """
    try:
        cells = read_cells(given_file("mode.path", path), **options)
    except ValueError as error:
        said = str(error)
        raise UserError(said if said.startswith("mode.path") else f"mode.{said}") from None
    n, names = len(cells.columns[0]), _names(dataset.units)
    d = dataset.event_shape[0] if names is None else len(names)
    if n == 0:
        raise UserError(f"mode.path: {cells.file} holds no rows")
    here = [k for k in range(len(cells.names)) if k not in cells.left_out]
    if names is None or (not set(names) & set(cells.names) and len(here) == d):
        if len(here) != d:
            raise UserError(f"mode.path: {cells.file} has {len(here)} columns, the data have {d}")
        return Rows(cells, list(here), None)
    columns = [cells.names.index(name) if name in cells.names else None for name in names]
    lacking = [name for name, at in zip(names, columns, strict=True) if at is None]
    if lacking and (whole or len(lacking) == d):
        which, there = listed(lacking), listed(cells.names)
        raise UserError(f"mode.path: {cells.file} has no column {which}; there are {there}")
    label = getattr(dataset.units, "label", None)
    return Rows(cells, columns, cells.names.index(label) if label in cells.names else None)


def find_labels(run: LoadedRun, n: int, label: Name | tuple[Name, ...], rows: Rows | None = None) -> list[int] | None:
    """The class of each of n rows, or images, for an energy under labels; None for others.

    Args:
        run: its energy is asked whether it takes labels.
        n: how many.
        label: one for all; None: the file says it.
        rows: the file; None: there is no file of rows.

    Raises:
        UserError: when neither says it, or there is no such class.
    """
    if not run.energy.conditional:
        return None
    dataset, key = run.parts["dataset"], "label"
    called: list[Name]
    if label is not None and not isinstance(label, tuple):
        called = [label] * n
    elif label is None and rows is not None and rows.label is not None:
        key = f"mode.path: column {rows.cells.names[rows.label]}"
        values = rows.cells.columns[rows.label].tolist()
        called = [str(int(v)) if isinstance(v, float) and v == v else v for v in values]
    else:
        name = getattr(dataset.units, "label", None)
        column = f"a column {name} in the file says them, or " if name else ""
        raise UserError(f"label: this energy is one of classes; {column}label=… says one for all")
    try:
        return find_classes(key, called, dataset.class_names)
    except ValueError as error:
        raise UserError(str(error)) from None


def _names(units: Units) -> Sequence[str] | None:
    return getattr(units, "names", None)


def _number(rows: Rows, k: int) -> np.ndarray:
    column, cells = rows.column(k), rows.cells
    if column.dtype.kind != "f":
        i = next(i for i, cell in enumerate(column) if cell is not None)
        name = cells.names[rows.columns[k] or 0]
        raise ValueError(f"{cells.file}, {cells.where(i)}: column {name} holds {column[i]!r}, must be numbers")
    return column


def rounded(values: Tensor | np.ndarray) -> list[float]:
    """Numbers of our own, with the digits that they have."""
    return [float(f"{float(v):.8g}") for v in values]


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Named columns of one length as a text file, numbers as numbers, what is missing empty."""
    import polars  # takes a while to import

    frame = polars.DataFrame({name: polars.Series(name, list(v), strict=False) for name, v in columns.items()})
    with replacing(path) as file:
        frame.fill_nan(None).write_csv(file)
