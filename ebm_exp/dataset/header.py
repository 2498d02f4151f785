"""Whether the first row of a table names its columns, and what a number is, and a cell that is missing."""

import itertools
import math
import re
from collections.abc import Sequence

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
_NUMBER = re.compile(r"[+-]?(?:(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)
_FAR = 3.0  # ranges of a column: what lies so far beyond its values is none of them
_ENOUGH = 5  # rows, of which that can be said


def is_number(cell: str, decimals: str = ".,") -> bool:
    """Whether a cell is a number with one of these decimal signs (infinite, or NaN, too)."""
    return _NUMBER.fullmatch(cell) is not None and not any(sign in cell for sign in ".," if sign not in decimals)


def names_columns(rows: Sequence[Sequence[str]], decimal: str) -> bool:
    """Whether the first of some rows names the columns.

    It does where text stands over numbers, in as many columns as numbers over numbers; where its numbers are no values
    of their columns; and, in a table of text alone, where nothing of it comes again though values do.
    """
    if not rows:
        return False
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    columns = [[row[k] for row in below if row[k] not in MISSING] for k in range(len(first))]
    numeric = [2 * sum(is_number(cell, decimal) for cell in column) >= len(column) for column in columns]
    text = [k for k, cell in enumerate(first) if cell not in MISSING and not is_number(cell, decimal)]
    texts_over = [k for k in text if numeric[k]]
    numbers_over = [k for k, cell in enumerate(first) if numeric[k] and columns[k] and is_number(cell, decimal)]
    if texts_over and len(texts_over) >= len(numbers_over):
        return True
    if numbers_over:
        values = [_value(first[k]) for k in numbers_over]
        return _are_names(
            values, [[_value(cell) for cell in columns[k] if is_number(cell, decimal)] for k in numbers_over]
        )
    return len(set(first)) == len(first) and all(
        len(column) >= _ENOUGH and first[k] not in column and 2 * len(set(column)) <= len(column)
        for k, column in enumerate(columns)
    )


def _are_names(first: list[float], columns: list[list[float]]) -> bool:
    """Whether numbers name the columns that they stand over: years, wavelengths, 0, 1, 2, … as pandas numbers them."""
    n = len(first)
    if n < 2 or len(set(first)) < n:
        return False
    if first == list(range(n)):
        return True
    ranges = [
        (value, min(below), max(below)) for value, below in zip(first, columns, strict=True) if len(below) >= _ENOUGH
    ]
    spread = [(value, low, high) for value, low, high in ranges if low < high]
    if len(spread) > 1 and all(
        not low - _FAR * (high - low) <= v <= high + _FAR * (high - low) for v, low, high in spread
    ):
        return True
    unlike = sum(
        not min(below) <= value <= max(below) or (value.is_integer() and not all(each.is_integer() for each in below))
        for value, below in zip(first, columns, strict=True)
    )
    step = first[1] - first[0]
    even = all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in itertools.pairwise(first))
    return even and (unlike == n or (n > 2 and 2 * unlike >= n))


def _value(cell: str) -> float:
    return float(cell.replace(",", "."))
