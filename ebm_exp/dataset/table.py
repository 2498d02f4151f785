"""Any table of numbers: one row, one point."""

import logging
import math

import numpy as np
import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.cells import Cells, is_number, read_cells
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.files import given_file, shown
from ebm_exp.dataset.names import find
from ebm_exp.dataset.subset import choose_classes, subset
from ebm_exp.random import generator
from ebm_exp.types import Name, NonNegative, PositiveInt, Probability, Provided

_LOG = logging.getLogger(__name__)
_ROOM = 1.25  # the domain's half width, in units of the farthest value


class Table(Dataset):
    """Points ``[d]`` from the d columns of a file, each standardised: mean 0, standard deviation 1 over training rows.

    ``x * data.std + data.mean`` is in the file's units again. The domain is ±1.25 times the farthest value of all rows.

    Args:
        name: the run directory's name.
        device: where batches are needed.
        path: a text file (.csv, .tsv, .txt, .dat; cells parted by tab, semicolon, comma or blanks) or an array
            ``[n, d]`` (.npy).
        label_column: the column of the class, by name or number (−1: the last); null: no labels. Text or integers.
        columns: the data, by name or number; null: all but the labels.
        header: whether the first row of a text file names the columns; null: when its cells are not numbers as those
            below are, or are 0, 1, 2, … as pandas numbers columns.
        test_share: held out, by a split that is the same for every seed; with 0 the training points stand in.
        noise_std: data noise, in standard deviations.
        classes: only these, by name.
        n_train, n_test: only so many rows.

    Raises:
        ValueError: when the file is not there or no table, naming line and column; for constant columns, columns that
            count the rows and labels that are no classes.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        path: str,
        label_column: Name = None,
        columns: tuple[Name, ...] | None = None,
        header: bool | None = None,
        test_share: Probability = 0.1,
        noise_std: NonNegative = 0.2,
        classes: tuple[Name, ...] | None = None,
        n_train: PositiveInt | None = None,
        n_test: PositiveInt | None = None,
    ) -> None:
        file = given_file("path", path)
        table = read_cells(file, header)
        label = None if label_column is None else _position("label_column", label_column, table.names)
        chosen = _choose(columns, label, table.names)
        x = np.stack([_numbers(table, k) for k in chosen], axis=1)
        if columns is None:
            _refuse_index(x, [table.names[k] for k in chosen])
        y, class_names = (None, []) if label is None else _classes(table, label)
        n, held_out = len(x), test_share > 0
        if n_test is not None and not held_out:
            raise ValueError(f"n_test: test_share=0 holds nothing out, got {n_test}")
        if n < 2 + held_out:
            raise ValueError(f"path: {shown(file)} has {n} rows, at least {2 + held_out} are needed")
        n_held_out = min(max(1, round(test_share * n)), n - 2) if held_out else 0
        order = torch.randperm(n, generator=generator("cpu", "dataset", "table", "split"))
        points, labels = torch.from_numpy(x), None if y is None else torch.from_numpy(y)
        kept = choose_classes(classes, class_names)
        splits = [(points[i], None if labels is None else labels[i]) for i in (order[n_held_out:], order[:n_held_out])]
        train, train_y = subset(*splits[0], kept, n_train, "train")
        test, test_y = subset(*splits[1], kept, n_test, "test") if held_out else (train, train_y)

        self.column_names = [table.names[k] for k in chosen]
        class_names = class_names if kept is None else [class_names[k] for k in kept]
        self.mean, self.std = train.mean(0), train.std(0, correction=0)
        self._refuse_constants(train)
        train, test = (((rows - self.mean) / self.std).float() for rows in (train, test))
        if not held_out:
            test = train
        half_width = math.ceil(10 * _ROOM * max(float(rows.abs().max()) for rows in (train, test))) / 10
        _LOG.info(
            "%s: %s rows, columns %s, %s classes, standardised, in ±%g",
            *(shown(file), f"{n:,}", ", ".join(self.column_names), len(class_names) or "no", half_width),
        )
        super().__init__(
            name=name,
            domain=Domain(-half_width, half_width, (len(chosen),)),
            train=train,
            test=test,
            train_labels=train_y,
            test_labels=test_y,
            n_classes=len(class_names),
            class_names=class_names,
            noise_std=noise_std,
            device=device,
        )

    def _refuse_constants(self, train: torch.Tensor) -> None:
        largest = train.abs().amax(0)
        for name, std, top in zip(self.column_names, self.std.tolist(), largest.tolist(), strict=True):
            if not math.isfinite(std):
                raise ValueError(f"path: column {name} has values too large to standardise, up to {top:g}")
            if std <= 1e-12 * top:
                raise ValueError(f"path: column {name} is constant over the training rows; leave it out by columns=[…]")


def _position(key: str, column: Name, names: list[str]) -> int:
    several = ""
    try:
        if (found := find(column, names, from_the_end=True)) is not None:
            return found
    except ValueError as error:
        several = f"; {error}"
    listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    raise ValueError(f"{key}: must be one of {listed}, or a number from 0 to {len(names) - 1}, got {column}{several}")


def _choose(columns: tuple[Name, ...] | None, label: int | None, names: list[str]) -> list[int]:
    if columns is None:
        chosen = [k for k in range(len(names)) if k != label]
        if not chosen:
            raise ValueError("path: beside the labels there is no column")
        return chosen
    chosen = [_position("columns", column, names) for column in columns]
    if not chosen or len(set(chosen)) < len(chosen) or label in chosen:
        raise ValueError(f"columns: must be different ones, and not that of the labels, got {list(columns)}")
    return chosen


def _numbers(table: Cells, k: int) -> np.ndarray:
    """A column as float64 ``[n]``."""
    cells, name = table.columns[k], table.names[k]
    try:
        x = cells.astype(np.float64)
    except ValueError:
        i = next(i for i, cell in enumerate(cells) if not is_number(cell))
        got = f"must be a number, got {cells[i]!s}" if cells[i] else "is empty"
        way = f"label_column={name} makes classes of it, columns=[…] leaves it out"
        raise ValueError(f"path: {table.file}, {table.where(i)}: column {name} {got} ({way})") from None
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        raise ValueError(f"path: {table.file}, {table.where(bad[0])}: column {name} is {x[bad[0]]}, no finite number")
    return x


def _classes(table: Cells, k: int) -> tuple[np.ndarray, list[str]]:
    """Labels ``[n]`` and the names of the classes, in the order of their names or numbers."""
    cells, name = table.columns[k], table.names[k]
    if cells.dtype.kind != "U" or all(is_number(cell) for cell in cells):
        x = _numbers(table, k)
        if (x != x.round()).any():
            raise ValueError(f"label_column: {name} holds {x[x != x.round()][0]:g}; must be text or integers")
        values, labels = np.unique(x, return_inverse=True)
        names = [str(int(value)) for value in values]
    else:
        if (cells == "").any():
            i = int(np.flatnonzero(cells == "")[0])
            raise ValueError(f"path: {table.file}, {table.where(i)}: column {name}, the label, is empty")
        values, labels = np.unique(cells, return_inverse=True)
        names = [str(value) for value in values]
    if 2 * len(names) > len(labels) > 2:
        raise ValueError(f"label_column: {name} has {len(names)} different values in {len(labels)} rows, no classes")
    return labels.astype(np.int64), names


def _refuse_index(x: np.ndarray, names: list[str]) -> None:
    for name, column in zip(names, x.T, strict=True):
        if len(column) > 2 and column[0] in (0, 1) and (np.diff(column) == 1).all():
            raise ValueError(f"path: column {name or 0} counts the rows; columns=[…] says which columns are data")
