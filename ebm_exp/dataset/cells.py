"""A file of rows and columns as it is written: names and cells, before anything is made of them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ebm_exp.dataset.files import shown

_TEXT = (".csv", ".tsv", ".txt", ".dat")


class Cells(NamedTuple):
    """Named columns of one length."""

    file: str
    names: list[str]
    columns: list[np.ndarray]  # [n] each, text or numbers
    where: Callable[[int], str]  # a row's place in the file


def read_cells(file: Path, header: bool | None) -> Cells:
    """The cells of a text file or of an array ``[n, d]`` (.npy; ``[n]`` is one column).

    Args:
        file: its ending says what it is; cells of text are parted by tab, semicolon, comma or blanks, by what stands in
            the first row in this order. Empty lines, and lines before the first row that begin with #, are skipped.
        header: whether the first row names the columns; None: look at it.

    Raises:
        ValueError: when the file is not there or no table, naming the line.
    """
    kind = file.suffix.lower()
    if kind not in (*_TEXT, ".npy"):
        raise ValueError(f"path: must end in {', '.join(_TEXT)} or .npy, got {shown(file)}")
    if not file.is_file():
        raise ValueError(f"path: {shown(file.absolute())} is {'a folder' if file.is_dir() else 'not there'}")
    try:
        return _read_array(file) if kind == ".npy" else _read_text(file, header)
    except (OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
        raise ValueError(f"path: {shown(file)} cannot be read as {kind} ({error})") from None


def _read_array(file: Path) -> Cells:
    try:
        array = np.load(file, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"path: {shown(file)} cannot be read as .npy ({str(error).splitlines()[0]})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiubU" or array.ndim not in (1, 2):
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "several arrays"
        raise ValueError(f"path: {shown(file)} must hold numbers [rows, columns], got {got}")
    array = array.reshape(len(array), -1) if array.size else array.reshape(0, 1)
    names = [str(k) for k in range(array.shape[1])]
    return Cells(shown(file), names, list(array.T), lambda row: f"row {row}")


def _read_text(file: Path, header: bool | None) -> Cells:
    with open(file, newline="", encoding="utf-8-sig") as opened:
        lines = opened.readlines()
    start = next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
    delimiter = next((d for d in "\t;," if start < len(lines) and d in lines[start]), None)
    rows: list[list[str]] = []
    numbers: list[int] = []  # of the line that each row ends in
    reader = csv.reader(lines[start:], delimiter=delimiter or ",", skipinitialspace=True, strict=True)
    for row in (line.split() for line in lines[start:]) if delimiter is None else reader:
        place = start + (reader.line_num if delimiter else len(numbers) + 1)
        numbers.append(place)
        rows.append([cell.strip() for cell in row])
    filled = [i for i, row in enumerate(rows) if row not in ([], [""])]
    rows, numbers = [rows[i] for i in filled], [numbers[i] for i in filled]
    if not rows:
        raise ValueError(f"path: {shown(file)} is empty")
    for row, line in zip(rows, numbers, strict=True):
        if len(row) != len(rows[0]):
            raise ValueError(f"path: {shown(file)}, line {line}: {len(row)} cells, {len(rows[0])} in the first row")
    names = [str(k) for k in range(len(rows[0]))]
    if _names_columns(rows) if header is None else header:
        names, rows, numbers = rows[0], rows[1:], numbers[1:]
    columns = [np.array(column, dtype=str) for column in zip(*rows, strict=True)] or [np.empty(0)] * len(names)
    return Cells(shown(file), names, columns, lambda row: f"line {numbers[row]}")


def _names_columns(rows: list[list[str]]) -> bool:
    """Whether the first row is a header."""
    below = rows[1] if len(rows) > 1 else ["0"] * len(rows[0])
    if any(not is_number(a) and is_number(b) for a, b in zip(rows[0], below, strict=True)):
        return True
    numbered = [cell == str(k) for k, cell in enumerate(rows[0]) if is_number(cell)]
    return len(numbered) > 1 and all(numbered)


def is_number(cell: str) -> bool:
    """Whether a cell can be read as a number (NaN and infinity too)."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
