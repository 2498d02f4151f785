"""Rows of a table as points: names and types of columns, and what each is made of (see ``columns.py``)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ebm_exp.dataset.columns import Column
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.maps import Maps
from ebm_exp.dataset.units import Units, as_array
from ebm_exp.random import generator
from ebm_exp.text import listed
from ebm_exp.types import Batch, PerSample, Points


class TableUnits(Units):
    """Rows with named columns, numbers or categories.

    Args:
        domain: the box, ``[d]``.
        columns: d of them.
        label: the column of the class; None: there are no classes.
    """

    kind = "table"

    def __init__(self, domain: Domain, columns: Sequence[Column], label: str | None = None) -> None:
        super().__init__(domain)
        self.columns, self.label = list(columns), label
        self.maps = Maps(columns)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def encode(self, raw: Any, missing: bool = False) -> Batch:
        """Points ``[n, d]`` of a DataFrame (polars, pandas), a mapping of columns, or an array in their order.

        What stands for an interval is anywhere within, the same each time. Other columns are passed over.
        """
        v = self.to_numbers(raw)
        if not missing and np.isnan(v).any():
            i, k = np.argwhere(np.isnan(v))[0]
            raise ValueError(f"column {self.names[k]} is missing in row {i}; mode=impute draws what is missing")
        for k, column in enumerate(self.columns):
            low, high = column.v[0], column.v[-1]
            beyond = v[(v[:, k] < low) | (v[:, k] > high), k]
            if column.normal and len(beyond):
                raise ValueError(
                    f"column {column.name} holds {beyond[0]:g}, its quantiles reach from {low:g} to {high:g}"
                )
        u = torch.rand(v.shape, generator=generator("cpu", "dataset", "table", "encode"), dtype=torch.float64)
        return self.maps.encode(torch.from_numpy(v), u)

    def knows(self, raw: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which cells ``[n, d]`` have a point: not what is missing, no new category, nothing beyond quantiles."""
        return np.stack([_knows(raw[column.name], column) for column in self.columns], axis=1)

    def to_numbers(self, raw: Any) -> np.ndarray:
        """Values ``[n, d]``, float64: numbers as they are, categories by their position; NaN is missing."""
        found = _as_columns(raw, self.names)
        return np.stack([_numbers(found[c.name], c) for c in self.columns], axis=1)

    def decode(self, x: Batch) -> Any:
        """A polars DataFrame of points ``[n, d]``: numbers with the data's decimals, categories by name.

        A component that is not finite is null.
        """
        import polars

        v = self.maps.to_values(x.detach().cpu()).numpy()
        return polars.DataFrame([polars.Series(c.name, _typed(v[:, k], c)) for k, c in enumerate(self.columns)])

    def decode_labelled(self, points: Points, class_names: Sequence[str]) -> Any:
        """The same of points with labels: the column of the class comes last, with the names of classes."""
        import polars

        frame = self.decode(points.x)
        if points.y is None:
            return frame
        names = [class_names[k] for k in points.y.tolist()]
        return frame.with_columns(polars.Series(self.label or "label", names, polars.String))

    def log_scale(self, x: Batch) -> PerSample:
        return self.maps.log_scale(x.detach().cpu()).sum(1).to(x.device)

    @property
    def discrete(self) -> bool:
        """Whether a likelihood in own units is a lower bound of one that has probabilities in it."""
        return any(c.values is not None or c.atoms for c in self.columns)

    def describe(self) -> str:
        plain = [c.name for c in self.columns if not c.normal]
        normal = [c.name for c in self.columns if c.normal and c.values is None]
        few = [f"{c.name} ({len(c.values)})" for c in self.columns if c.values is not None]
        kinds = (("standardised", plain), ("by quantiles", normal), ("categories", few))
        return "; ".join(f"{kind}: {listed(names)}" for kind, names in kinds if names)

    def facts(self) -> dict[str, Any]:
        columns = [
            {key: list(v) if isinstance(v, tuple) else v for key, v in c._asdict().items()} for c in self.columns
        ]
        return super().facts() | {"columns": columns, "label": self.label}


def read_columns(facts: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns that a run recorded."""
    named: list[dict[str, Any]] = [
        {k: tuple(v) if isinstance(v, list) else v for k, v in each.items() if k in Column._fields} for each in facts
    ]
    return [Column(**each) for each in named]


def _as_columns(raw: Any, names: Sequence[str]) -> Mapping[str, Any]:
    """By name, whatever it is handed as."""
    if hasattr(raw, "columns") and hasattr(raw, "__getitem__"):  # a DataFrame of any library
        have = {str(name): name for name in raw.columns}
    elif isinstance(raw, Mapping):
        have = {str(name): name for name in raw}
    else:
        rows = as_array(raw)
        if rows.ndim != 2 or rows.shape[1] != len(names):
            raise ValueError(f"rows must be [n, {len(names)}] ({listed(names)}), got {list(rows.shape)}")
        return {name: rows[:, k] for k, name in enumerate(names)}
    lacking = [name for name in names if name not in have]
    if lacking:
        raise ValueError(f"rows have no column {listed(lacking)}; there are {listed(list(have))}")
    return {name: raw[have[name]] for name in names}


def _knows(cells: np.ndarray, column: Column) -> np.ndarray:
    if column.values is not None:
        values = {*column.values}
        return np.array([cell in values or str(cell) in values for cell in cells.tolist()], dtype=bool)
    v = np.array([float(cell) if cell is not None and _is_number(cell) else math.nan for cell in cells.tolist()])
    known: np.ndarray = (v >= column.v[0]) & (v <= column.v[-1]) if column.normal else ~np.isnan(v)
    return known


def _numbers(cells: Any, column: Column) -> np.ndarray:
    found = cells.to_numpy() if hasattr(cells, "to_numpy") else as_array(cells)
    if column.values is None:
        try:
            return found.astype(np.float64)
        except (ValueError, TypeError):
            bad = next(each for each in found if not _is_number(each))
            raise ValueError(f"column {column.name} holds {bad!r}, must be numbers") from None
    number = {each: k for k, each in enumerate(column.values)}
    positions = np.full(len(found), np.nan)
    for i, cell in enumerate(found.tolist()):
        if cell is None or cell != cell:
            continue
        k = number.get(cell, number.get(str(cell)))
        if k is None:
            raise ValueError(f"column {column.name} holds {cell!r}, must be {listed([str(v) for v in column.values])}")
        positions[i] = k
    return positions


def _is_number(cell: Any) -> bool:
    try:
        float("nan" if cell is None else cell)
    except (ValueError, TypeError):
        return False
    return True


def _typed(v: np.ndarray, column: Column) -> Any:
    there = np.isfinite(v)
    if not there.all():
        found = _typed(np.where(there, v, column.origin), column)
        return [value if known else None for value, known in zip(list(found), there, strict=True)]
    if column.values is not None:
        return [column.values[int(k)] for k in v.clip(0, len(column.values) - 1)]
    if column.decimals == 0:
        return v.round().astype(np.int64)
    return v if column.decimals is None else v.round(column.decimals)
