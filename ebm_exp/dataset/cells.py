"""A file of rows and columns as it is: names and cells, before anything is made of them."""

import io
import itertools
import logging
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ebm_exp.dataset.files import shown
from ebm_exp.dataset.header import MISSING, is_number
from ebm_exp.dataset.rows import Row, collect, decode, first_line, parse, read_rows
from ebm_exp.dataset.sniff import sniff
from ebm_exp.text import listed

if TYPE_CHECKING:
    import polars

_LOG = logging.getLogger(__name__)
_TEXT, _ARRAYS, _PARQUET = (".csv", ".tsv", ".txt", ".dat"), (".npy", ".npz"), (".parquet",)
_UNNAMED = ("", "Unnamed: 0", "__index_level_0__")  # how pandas calls a column that only names the rows


class Cells(NamedTuple):
    """Named columns of one length, those of numbers float64 with NaN where a cell is missing, others ``str | None``."""

    file: str
    names: list[str]
    columns: list[np.ndarray]  # [n] each
    where: Callable[[int], str]  # a row's place in the file
    left_out: tuple[int, ...] = ()  # columns that are no data unless they are asked for


def read_cells(
    file: Path,
    header: bool | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> Cells:
    """The cells of a text file (.csv, .tsv, .txt, .dat), of .parquet, or of arrays (.npy, .npz).

    In text, empty lines are skipped, and lines before the first row that begin with #. A column is one of numbers if
    all of its cells are. Of an .npz the array ``x`` is read, or its only one, and with it labels ``y``, as a column of
    this name. A first column without a name that only tells rows apart is left out, which is logged.

    Args:
        file: its ending says what it is.
        header: whether the first row of text names the columns.
        separator: of cells: ``tab``, ``semicolon``, ``pipe``, ``comma``, ``blanks``, or one character.
        decimal: ``point`` or ``comma``.
        encoding: of text, as Python names it. Each of these four: None, look at the first 64 kB.

    Raises:
        ValueError: when the file is not there or no table, naming the line.
    """
    kind, known = file.suffix.lower(), (*_TEXT, *_PARQUET, *_ARRAYS)
    if kind not in known:
        raise ValueError(f"path: must end in {', '.join(known[:-1])} or {known[-1]}, got {shown(file)}")
    if not file.is_file():
        raise ValueError(f"path: {shown(file.absolute())} is {'a folder' if file.is_dir() else 'not there'}")
    given = {"header": header, "separator": separator, "decimal": decimal, "encoding": encoding}
    said = next((key for key, value in given.items() if value is not None), None)
    if said and kind not in _TEXT:
        raise ValueError(f"{said}: must be null for {kind}, which says it itself, got {given[said]}")
    try:
        if kind in _TEXT:
            return _read_text(file, header, separator, decimal, encoding)
        return _read_parquet(file) if kind in _PARQUET else _read_arrays(file)
    except (OSError, EOFError) as error:
        raise ValueError(f"path: {shown(file)} cannot be read as {kind} ({error})") from None


def _read_text(
    file: Path, header: bool | None, separator: str | None, decimal: str | None, encoding: str | None
) -> Cells:
    name = shown(file)
    text, encoding = decode(file.read_bytes(), encoding, name)
    lines = io.StringIO(text, newline="\n").readlines()
    layout = sniff(lines, name, separator, decimal, header)

    def rows() -> Iterator[Row]:
        try:
            yield from read_rows(lines, layout.separator)
        except ValueError as error:
            raise ValueError(f"path: {name}, {error}") from None

    body = rows()
    first = next(body if layout.header else rows(), None)
    if first is None:
        raise ValueError(f"path: {name} is empty")
    second = next(itertools.islice(rows(), 1, None), None)
    if layout.header and first.cells[-1] == "" and second and len(second.cells) < len(first.cells):
        first.cells.pop()  # the header alone ends in a separator
    n_cells = len(first.cells)
    frame = parse("".join(lines[first.line if layout.header else first_line(lines) :]), layout.separator)
    if frame is None or not 0 <= frame.width - n_cells <= layout.header:
        frame = collect(body, n_cells, layout.separator, name)
    names = first.cells if layout.header else [str(k) for k in range(n_cells)]
    if frame.width > len(names):  # as R writes the names of rows
        names = ["", *names]
    if len(names) > 1 and (not layout.header or names[-1] == "") and not any(frame.to_series(-1)):
        frame, names = frame.drop(frame.columns[-1]), names[:-1]  # all rows end in a separator

    columns = [_settle(column, layout.decimal) for column in _without_missing(frame)]
    if header is None and layout.header and any(map(is_number, names)):
        _LOG.info(
            "%s: names of columns are the first row, %s; with dataset.header=false it is data", name, listed(names, 3)
        )
    if encoding not in ("utf-8", "ascii") or layout.decimal == ",":
        _LOG.info("%s: read as %s, with a decimal %s", name, encoding, "comma" if layout.decimal == "," else "point")
    left_out = _find_index(names, columns, name) if layout.header else ()
    return Cells(
        name, _tell_apart(names, name), columns, lambda i: f"line {_line_of(rows(), i + layout.header)}", left_out
    )


def _line_of(rows: Iterator[Row], i: int) -> int:
    return next(itertools.islice(rows, i, None)).line


def _without_missing(frame: "polars.DataFrame") -> "list[polars.Series]":
    import polars

    return frame.select(polars.all().str.strip_chars().replace(dict.fromkeys(MISSING))).get_columns()


def _settle(cells: "polars.Series", decimal: str = ".") -> np.ndarray:
    """A column of text ``[n]`` as numbers, if all of it are."""
    import polars

    numbers = cells
    if decimal == ",":  # then a point is none
        numbers = cells.str.replace_all(".", "no", literal=True).str.replace_all(",", ".", literal=True)
    numbers = numbers.cast(polars.Float64, strict=False)
    if numbers.null_count() > cells.null_count():
        return np.array(cells.to_list(), dtype=object)
    return _floats(numbers)


def _floats(numbers: "polars.Series") -> np.ndarray:
    import polars

    return np.array(numbers.cast(polars.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _find_index(names: list[str], columns: list[np.ndarray], file: str) -> tuple[int, ...]:
    """The first column, if it has no name and tells the rows apart by whole numbers or text."""
    first = columns[0]
    if names[0] not in _UNNAMED or len(names) == 1 or len(set(first.tolist())) < len(first):
        return ()
    if first.dtype != object and not (np.isfinite(first) & (first == first.round())).all():
        return ()
    _LOG.info(
        "%s: the first column has no name and tells rows apart, it is left out (dataset.columns=[…] says otherwise)",
        file,
    )
    return (0,)


def _tell_apart(names: list[str], file: str) -> list[str]:
    """Names that are all different: a column without one is called by its number, of equal ones each gets a number."""
    names = [name or str(k) for k, name in enumerate(names)]
    taken, changed = set(names), {}
    for k, name in enumerate(names):
        if names.count(name) > 1:
            numbered = (f"{name}_{i}" for i in itertools.count(1 + names[:k].count(name)))
            changed[k] = next(each for each in numbered if each not in taken)
            taken.add(changed[k])
    if changed:
        _LOG.info("%s: columns of one name are called %s here", file, listed(list(changed.values()), 3))
    return [changed.get(k, name) for k, name in enumerate(names)]


def _read_parquet(file: Path) -> Cells:
    import polars

    try:
        frame = polars.read_parquet(file)
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"path: {shown(file)} cannot be read as .parquet ({str(error).splitlines()[0]})") from None
    name, columns, nested = shown(file), [], []
    for k, column in enumerate(frame.get_columns()):
        if column.dtype.is_numeric():
            columns.append(_floats(column))
        elif column.dtype.is_nested() or column.dtype in (polars.Binary, polars.Object):
            nested.append(k)
            columns.append(np.full(len(column), None, dtype=object))
        else:
            columns.append(np.array(column.cast(polars.String).to_list(), dtype=object))
    if nested:
        shapes = listed([f"{frame.columns[k]} ({frame.dtypes[k]})" for k in nested], 3)
        _LOG.info("%s: columns that are neither numbers nor text are left out: %s", name, shapes)
    left_out = (*(_find_index(frame.columns, columns, name) if columns else ()), *nested)
    return Cells(name, _tell_apart(frame.columns, name), columns, lambda row: f"row {row}", left_out)


def _read_arrays(file: Path) -> Cells:
    name, kind = shown(file), file.suffix.lower()
    try:
        read: Any = np.load(file, allow_pickle=False)
        arrays = dict(read) if kind == ".npz" else {"x": read}
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"path: {name} cannot be read as {kind} ({str(error).splitlines()[0]})") from None
    x = arrays["x"] if "x" in arrays else next(iter(arrays.values())) if len(arrays) == 1 else None
    if x is None:
        raise ValueError(f"path: {name} must hold one array, or x (and y), got {', '.join(arrays) or 'none'}")
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiubU" or x.ndim not in (1, 2):
        got = f"{x.dtype} {list(x.shape)}" if isinstance(x, np.ndarray) else "several arrays"
        raise ValueError(f"path: {name} must hold numbers [rows, columns], got {got}")
    x = x.reshape(len(x), -1) if x.size else x.reshape(0, 1)
    names, columns = [str(k) for k in range(x.shape[1])], list(x.T)
    if "y" in arrays:
        y = arrays["y"]
        if y.dtype.kind not in "fiubU" or y.shape != (len(x),):
            raise ValueError(f"path: {name}: y must be labels [{len(x)}], one for each row of x, got {list(y.shape)}")
        names, columns = [*names, "y"], [*columns, y]
    return Cells(name, names, [_from_array(column) for column in columns], lambda row: f"row {row}")


def _from_array(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind != "U":
        return column.astype(np.float64)
    import polars

    return _settle(_without_missing(polars.DataFrame({"x": column.tolist()}, {"x": polars.String}))[0])
