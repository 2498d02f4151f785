"""How the cells of a text file are written: its separator, its decimal sign, and whether it has a header.

Each is looked for in the first 64 kB, and each can be said instead.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ebm_exp.dataset.header import MISSING, is_number, names_columns
from ebm_exp.dataset.rows import HEAD, SEPARATORS, first_line, read_rows

DECIMALS = {"point": ".", "comma": ","}
_FEW = 6  # lines
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")  # 1,234 may be a thousand


class Layout(NamedTuple):
    """How cells are written."""

    separator: str  # one character; a blank stands for any number of blanks and tabs
    decimal: str
    header: bool


def sniff(
    lines: Sequence[str],
    file: str,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
) -> Layout:
    """How the cells of a file are written; what is None is looked for.

    Args:
        lines: of the whole file, with their ends; the first 64 kB are looked at.
        file: its name in messages.
        separator: one character, or ``tab``, ``semicolon``, ``pipe``, ``comma``, ``blanks``.
        decimal: ``.`` or ``point``, ``,`` or ``comma``.
        header: whether the first row names the columns.

    Raises:
        ValueError: for another value of a key; when a comma may be a decimal sign or part thousands.
    """
    separator, decimal = SEPARATORS.get(separator or "", separator), DECIMALS.get(decimal or "", decimal)
    if separator is not None and (len(separator) != 1 or separator in '"\n'):
        raise ValueError(f"separator: must be one of {', '.join(SEPARATORS)}, or one character, got {separator}")
    if decimal not in (None, ".", ","):
        raise ValueError(f"decimal: must be point or comma, got {decimal}")
    head = _head(lines)
    if separator is None:
        fits = {each: _fit(_cells(head, each)) for each in SEPARATORS.values()}
        separator = max(fits, key=lambda each: fits[each]) if any(fit[0] for fit in fits.values()) else ","
    rows = _cells(head, separator)
    if decimal is None:
        decimal = _find_decimal(rows, separator, file)
    if header is None:
        header = names_columns(rows, decimal)
    return Layout(separator, decimal, header)


def _head(lines: Sequence[str]) -> list[str]:
    n, length = first_line(lines), 0
    start = n
    while n < len(lines) and (length < HEAD or n < start + _FEW):
        length += len(lines[n])
        n += 1
    return list(lines[start:n])


def _cells(head: Sequence[str], separator: str) -> list[list[str]]:
    return [row.cells for row in read_rows(head, separator, strict=False)]


def _fit(rows: list[list[str]]) -> tuple[float, float, float]:
    """How well rows are parted: the share of them that has as many cells as most, that of numbers among cells, roughly;
    then the former exactly."""
    widths = Counter(len(row) for row in rows)
    width, n = max(widths.items(), key=lambda item: item[1], default=(0, 0))
    if width < 2:
        return 0.0, 0.0, 0.0
    cells = [cell for row in rows for cell in row if cell not in MISSING]
    numbers = sum(is_number(cell) for cell in cells) / max(1, len(cells))
    return round(n / len(rows), 1), round(numbers, 1), n / len(rows)


def _find_decimal(rows: list[list[str]], separator: str, file: str) -> str:
    cells = [cell for row in rows for cell in row if is_number(cell) or _GROUPED.fullmatch(cell)]
    commas = [cell for cell in cells if "," in cell]
    if not commas or any("." in cell and "," not in cell for cell in cells):
        return "."
    if all(_GROUPED.fullmatch(cell) for cell in commas) and separator == ",":
        raise ValueError(
            f"path: {file}: {commas[0]} may be a decimal number, which dataset.decimal=comma reads, or have its "
            "thousands parted, which is not read"
        )
    return ","
