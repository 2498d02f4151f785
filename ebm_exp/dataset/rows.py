"""The rows of a text file: its bytes as lines, and lines as cells."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import polars

HEAD = 2**16  # characters that are looked at, or the first few lines where these are longer
BLANKS = " "
SEPARATORS = {"tab": "\t", "semicolon": ";", "pipe": "|", "comma": ",", "blanks": BLANKS}  # of equals the first


class Row(NamedTuple):
    """The cells of one row, without blanks around, and the line that it ends in, from 1."""

    line: int
    cells: list[str]


def decode(content: bytes, encoding: str | None, file: str) -> tuple[str, str]:
    r"""The text of a file, its lines ended by ``\n``, and its encoding.

    Args:
        content: its bytes.
        encoding: None: as a byte order mark says, else UTF-8, else cp1252, in which Windows writes western languages.
        file: its name in messages.

    Raises:
        ValueError: when there is no such encoding, or the bytes are no text of it.
    """
    chosen = encoding or _find_encoding(content)
    try:
        text = content.decode(chosen)
    except LookupError:
        raise ValueError(f"encoding: must be the name of one, as utf-8, utf-16, cp1252, got {chosen}") from None
    except UnicodeError as error:
        raise ValueError(
            f"path: {file} is no text of {chosen} ({error}); dataset.encoding=… says which it is"
        ) from None
    if "\0" in text[:HEAD]:
        raise ValueError(f"path: {file} holds zero bytes, it is no text; dataset.encoding=… says which it is")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), chosen


def _find_encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [content[i:HEAD:2].count(0) for i in (0, 1)]  # in UTF-16 every second byte of plain letters is zero
    if max(zeros) > len(content[:HEAD]) // 4:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        content.decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def first_line(lines: Sequence[str]) -> int:
    """The position of the first row: before it are empty lines and those that begin with #."""
    return next((i for i, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))


def read_rows(lines: Sequence[str], separator: str, strict: bool = True) -> Iterator[Row]:
    """The rows of lines with their ends, from the first one on; empty lines are none.

    Args:
        lines: of the whole file.
        separator: one character; a blank for any number of blanks and tabs.
        strict: refuse quotes that are not closed, or that end within a cell.

    Raises:
        ValueError: for such quotes, naming the line.
    """
    start = first_line(lines)
    body = (line.replace("\t", " ").strip(" \n") for line in lines[start:]) if separator == BLANKS else lines[start:]
    reader = csv.reader(body, delimiter=separator, skipinitialspace=True, strict=strict)
    began = start + 1
    try:
        for cells in reader:
            row = Row(start + reader.line_num, [cell.strip() for cell in cells])
            began = row.line + 1
            if len(cells) > 1 or lines[row.line - 1].strip():
                yield row
    except csv.Error as error:
        raise ValueError(f"line {began}: {error}; a quote must be doubled within quotes, and closed") from None


def parse(body: str, separator: str) -> "polars.DataFrame | None":
    """All cells as text; None where polars would not read what stands there."""
    import polars

    if separator == BLANKS or f'{separator} "' in body:
        return None
    how: Any = {"has_header": False, "infer_schema": False, "empty_string_is_null": False, "raise_if_empty": False}
    try:
        frame = polars.read_csv(body.encode(), separator=separator, **how)
    except (polars.exceptions.PolarsError, TypeError):  # quotes within cells, rows that are too long
        return None
    # It fills up rows that are too short, and empty lines: where there may be such, rows are counted.
    return None if frame.width == 0 or (frame.to_series(-1) == "").any() else frame


def collect(rows: Iterable[Row], n_cells: int, separator: str, file: str) -> "polars.DataFrame":
    """All cells as text, row by row.

    Raises:
        ValueError: for the first row of another length than most.
    """
    import polars

    found = list(rows)
    for row in found:
        if len(row.cells) == n_cells + 1 and row.cells[-1] == "":  # a separator at the end
            row.cells.pop()
    usual = Counter(len(row.cells) for row in found).most_common(1)[0][0] if found else n_cells
    odd = next((row for row in found if len(row.cells) != usual), None)
    called = next((word for word, sign in SEPARATORS.items() if sign == separator), separator)
    if odd is None and usual - n_cells not in (0, 1):
        raise ValueError(
            f"path: {file}: {n_cells} cells in the first row, {usual} in all others (parted by {called}; # at its "
            "beginning leaves it out, dataset.separator=… parts cells by something else)"
        )
    if odd is not None:
        raise ValueError(
            f"path: {file}, line {odd.line}: {len(odd.cells)} cells, {usual} in most rows (parted by {called}; "
            "dataset.separator=… parts them by something else)"
        )
    cells = [row.cells for row in found]
    columns = zip(*cells, strict=True) if cells else [()] * n_cells
    return polars.DataFrame([polars.Series(str(k), each, polars.String) for k, each in enumerate(columns)])
