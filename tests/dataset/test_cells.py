"""Files of cells: how they are written, by whom, and what is said of those that are no table."""

import csv
import io
import logging
import re
import time
from pathlib import Path

import numpy as np
import polars
import pytest

from ebm_exp.dataset.cells import Cells, read_cells
from ebm_exp.dataset.header import is_number, names_columns

RNG = np.random.default_rng(0)
X = RNG.normal([1.0, -200.0, 0.003], [2.0, 50.0, 0.0001], (12, 3)).round(7)
ROWS = [[repr(v) for v in row] for row in X.tolist()]


def text(rows: list, by: str = ",", end: str = "\n") -> str:
    return "".join(by.join(str(cell) for cell in row) + end for row in rows)


def read(folder: Path, content: str | bytes, name: str = "x.csv", **keys: object) -> Cells:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_cells(folder / name, **keys)


def commas(rows: list) -> list:
    return [[cell.replace(".", ",") for cell in row] for row in rows]


def quoted(rows: list) -> list:
    return [[f'"{cell}"' for cell in row] for row in rows]


ABC = ["a", "b", "c"]
WAYS = {  # content, names, and the file's name: all hold X
    "plain": (text([ABC, *ROWS]), ABC, "x.csv"),
    "no header": (text(ROWS), list("012"), "x.csv"),
    "decimal commas": (text([ABC, *commas(ROWS)], ";"), ABC, "x.csv"),
    "decimal commas, no header": (text(commas(ROWS), ";"), list("012"), "x.csv"),
    "decimal commas, in quotes": (text([ABC, *quoted(commas(ROWS))]), ABC, "x.csv"),
    "decimal commas, blanks": (text(commas(ROWS), "  "), list("012"), "x.txt"),
    "decimal commas, tabs": (text([ABC, *commas(ROWS)], "\t"), ABC, "x.tsv"),
    "pipes": (text([ABC, *ROWS], "|"), ABC, "x.dat"),
    "separators in names": (text([["a;b", '"b,c"', "d e"], *ROWS]), ["a;b", "b,c", "d e"], "x.csv"),
    "separators at all ends": (text([ABC, *ROWS], end=",\n"), ABC, "x.csv"),
    "separators at ends, no header": (text(ROWS, ";", end=";\n"), list("012"), "x.csv"),
    "separators at ends of rows": ("a,b,c\n" + text(ROWS, end=",\n"), ABC, "x.csv"),
    "a separator at the end of the header": ("a,b,c,\n" + text(ROWS), ABC, "x.csv"),
    "UTF-16": (text([ABC, *ROWS]).encode("utf-16"), ABC, "x.csv"),
    "UTF-16 without a mark": (text([ABC, *ROWS]).encode("utf-16-be"), ABC, "x.csv"),
    "UTF-8 with a mark": (text([ABC, *ROWS]).encode("utf-8-sig"), ABC, "x.csv"),
    "cp1252": (text([["größe", "°C", "€"], *ROWS]).encode("cp1252"), ["größe", "°C", "€"], "x.csv"),
    "Windows' ends of lines": (text([ABC, *ROWS], end="\r\n"), ABC, "x.csv"),
    "old ends of lines": (text([ABC, *ROWS], end="\r"), ABC, "x.csv"),
    "comments and empty lines": ("# by me\n\n#2024\n" + text([ABC, *ROWS], end="\n\n") + "  \n", ABC, "x.csv"),
    "blanks before quotes": (text([ABC, *quoted(ROWS)], ", "), ABC, "x.csv"),
    "as R writes names of rows": (
        '"a" "b" "c"\n' + text([[f'"row {i}"', *row] for i, row in enumerate(ROWS)], " "), ["0", *ABC], "x.txt",
    ),
    "as pandas writes them": (text([["", *ABC], *[[i, *row] for i, row in enumerate(ROWS)]]), ["0", *ABC], "x.csv"),
    "as pandas reads and writes them": (
        text([["Unnamed: 0", *ABC], *[[3 * i, *row] for i, row in enumerate(ROWS)]]), ["Unnamed: 0", *ABC], "x.csv",
    ),
    "years": (text([["2019", "2020", "2021"], *ROWS]), ["2019", "2020", "2021"], "x.csv"),
    "wavelengths": (text([["450.5", "451.5", "452.5"], *ROWS]), ["450.5", "451.5", "452.5"], "x.csv"),
    "a name that is a number": (text([["a", "2019", "c"], *ROWS]), ["a", "2019", "c"], "x.csv"),
    "equal names": (text([["a", "a", "a_1"], *ROWS]), ["a_2", "a_3", "a_1"], "x.csv"),
    "a column without a name": (text([["a", "", "c"], *ROWS]), ["a", "1", "c"], "x.csv"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_table(way: str, tmp_path: Path) -> None:
    content, names, name = WAYS[way]
    cells = read(tmp_path, content, name)
    assert cells.names == names
    assert cells.left_out == ((0,) if len(names) > 3 else ())
    assert all(column.dtype == np.float64 for column in cells.columns[-3:])
    np.testing.assert_array_equal(np.stack(cells.columns[-3:], 1), X)


def test_what_is_read_otherwise_than_it_looks_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told = {
        "years": "names of columns are the first row, 2019, 2020, 2021; with dataset.header=false it is data",
        "decimal commas": "read as utf-8, with a decimal comma",
        "cp1252": "read as cp1252, with a decimal point",
        "as pandas writes them": "the first column has no name and tells rows apart, it is left out (dataset.columns=",
        "equal names": "columns of one name are called a_2, a_3 here",
    }
    for way, message in told.items():
        caplog.clear()
        read(tmp_path, *WAYS[way][::2])
        assert [message in each for each in caplog.messages] == [True], (way, caplog.messages)
        assert "x.csv: " in caplog.text
    caplog.clear()
    read(tmp_path, WAYS["plain"][0])
    assert not caplog.messages


def test_each_can_be_said(tmp_path: Path) -> None:
    odd = text([["1.5", "2,5"], ["3.5", "4,5"]], ";")
    assert [c.dtype == object for c in read(tmp_path, odd).columns] == [False, True]
    assert [c.dtype == object for c in read(tmp_path, odd, decimal="comma").columns] == [True, False]
    assert read(tmp_path, odd, header=True, separator=";").names == ["1.5", "2,5"]
    assert len(read(tmp_path, odd, separator="comma").columns) == 2
    assert len(read(tmp_path, "a:1\nb:2\n", separator=":").columns) == 2
    assert read(tmp_path, text([["2019", "2020", "2021"], *ROWS]), header=False).columns[0][0] == 2019
    assert read(tmp_path, "ä,b\n1,2\n".encode("utf-16-le"), encoding="utf-16-le").names == ["ä", "b"]
    assert read(tmp_path, "дом,b\n1,2\n".encode("cp1251"), encoding="cp1251").names == ["дом", "b"]


def test_cells_that_are_missing_and_text(tmp_path: Path) -> None:
    missing = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?", "  "]
    rows = [["a", "b", "c"], *[[cell, cell, k] for k, cell in enumerate(missing)], ["1e-3", "Ålesund", "9"]]
    cells = read(tmp_path, text(rows))
    np.testing.assert_array_equal(cells.columns[0], [*[np.nan] * 9, 1e-3])
    assert cells.columns[1].tolist() == [*[None] * 9, "Ålesund"]
    assert cells.columns[2].dtype == np.float64
    last = read(tmp_path, "a,b\n1,\n2,x\n3,\n")  # where rows end in a separator
    assert last.columns[1].tolist() == [None, "x", None]
    assert read(tmp_path, 'a\n1\n""\n3\n').columns[0].tolist()[::2] == [1, 3]
    assert len(read(tmp_path, 'a\n1\n""\n3\n').columns[0]) == 3
    assert np.isnan(read(tmp_path, "a,b\n1,NA\n2,\n").columns[1]).all()


def test_quotes_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    rows = [["name", "note", "n"], ['5" pipe', 'said "no", twice', 1], ["two\nlines", "", 2], [" Å ", "'", 3]]
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    cells = read(tmp_path, buffer.getvalue())
    assert cells.columns[0].tolist() == ['5" pipe', "two\nlines", "Å"]
    assert cells.columns[1].tolist() == ['said "no", twice', None, "'"]
    assert [cells.where(i) for i in range(3)] == ["line 2", "line 4", "line 5"]
    assert read(tmp_path, 'a,b\n5" pipe,1\nx,2\n').columns[0].tolist() == ['5" pipe', "x"]


def test_places_are_lines_of_the_file(tmp_path: Path) -> None:
    for content, lines in {
        text([ABC, *ROWS]): [2, 3, 4],
        text(ROWS): [1, 2, 3],
        "# x\n\n" + text([ABC, *ROWS], end="\n\n"): [3 + 2, 3 + 4, 3 + 6],
        text(ROWS, "  "): [1, 2, 3],
    }.items():
        assert [read(tmp_path, content).where(i) for i in range(3)] == [f"line {k}" for k in lines]


HEADERS = {  # first row, rows below, whether it names them
    "names": (["a", "b"], [["1", "x"], ["2", "y"]], True),
    "a name over few numbers": (["a", "b"], [["1", "2"], ["?", "3"], ["2", "NA"]], True),
    "iris without one": (["5.1", "setosa"], [["4.9", "setosa"], ["5.0", "virginica"]], False),
    "countries and years": (
        ["country", "1960", "1961", "1962"], [[f"c{i}", f"{i}.5", f"{i}.1", ""] for i in range(9)], True,
    ),
    "labels and pixels": (["label", *map(str, range(50))], [["3", *["0"] * 49, "7"]] * 9, True),
    "tickets": (["A 12", "1.5", "2"], [[str(i), f"{i}.5", str(i % 3)] for i in range(9)], False),
    "whole numbers": (["3", "4", "5"], [[str((i * k) % 7) for k in (1, 2, 3)] for i in range(9)], False),
    "years over numbers of their size": (["2019", "2020"], [[str(1500 + 90 * i), "2500"] for i in range(9)], False),
    "two years": (["2019", "2020"], [[f"{i}.5", f"{-i}.5"] for i in range(9)], True),
    "text alone": (["colour", "shape"], [["red", "round"], ["blue", "flat"]] * 4, True),
    "text alone without one": (["red", "flat"], [["red", "round"], ["blue", "flat"]] * 4, False),
    "names of people": (["Ada", "Lovelace"], [[f"n{i}", f"m{i}"] for i in range(9)], False),
    "a single row": (["1", "2"], [], False),
    "a header alone": (["a", "b"], [], True),
    "an outlier": (["1e6", "0.5"], [[f"{i}.5", f"{i}.25"] for i in range(9)], False),
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADERS)
def test_whether_the_first_row_names_the_columns(kind: str) -> None:
    first, below, named = HEADERS[kind]
    assert names_columns([first, *below], ".") is named


def test_numbers_are_the_same_to_the_parser_and_to_the_eye() -> None:
    cells = [
        "1",
        "-1.5",
        "+2.",
        ".5",
        "1e5",
        "1E-3",
        "inf",
        "-inf",
        "nan",
        "1e400",
        "1_000",
        "0x1",
        "١",
        "e5",
        ".",
        "1e",
    ]
    read_as = polars.Series(cells).cast(polars.Float64, strict=False).is_not_null().to_list()
    assert [is_number(cell, ".") for cell in cells] == read_as
    assert [is_number("1,5", sign) for sign in (",", ".", ".,")] == [True, False, True]
    assert not is_number("1.5", ",")


REFUSED = {  # content, message, keys
    "ragged": (text([*ROWS[:7], [1, 2], *ROWS[7:]]), "line 8: 2 cells, 3 in most rows (parted by comma", {}),
    "too long": (text([ABC, *ROWS, [*"1234"]]), "x.csv, line 14: 4 cells, 3 in most rows", {}),
    "a short header": (text([["a"], *ROWS]), "x.csv: 1 cells in the first row, 3 in all others", {}),
    "ragged, blanks": (text([*ROWS, ["1", "2"]], " "), "line 13: 2 cells, 3 in most rows (parted by blanks", {}),
    "an open quote": (text(ROWS) + '"1,2,3\n', "x.csv, line 13: unexpected end of data; a quote must be doubled", {}),
    "empty": ("", "x.csv is empty", {}),
    "comments alone": ("# a\n\n", "x.csv is empty", {}),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "x.csv holds zero bytes, it is no text; dataset.enc", {}),
    "another encoding": ("ä,b\n1,2".encode("cp1252"), "x.csv is no text of utf-8", {"encoding": "utf-8"}),
    "thousands": (
        text([ABC, *[[f'"{i},250"', i, i] for i in range(1, 9)]]),
        "x.csv: 1,250 may be a decimal number, which dataset.decimal=comma reads, or have its thousands parted", {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_table_is_said_in_one_line(kind: str, tmp_path: Path) -> None:
    content, message, keys = REFUSED[kind]
    with pytest.raises(ValueError, match=rf"^path: .*{re.escape(message)}") as caught:
        read(tmp_path, content, **keys)
    assert "\n" not in str(caught.value)


def test_a_first_row_that_is_none_can_be_left_out(tmp_path: Path) -> None:
    """As the message says; such a row has the files that scikit-learn comes with."""
    assert read(tmp_path, "#150,4\n" + text([ABC, *ROWS])).names == ABC


def test_keys_are_checked(tmp_path: Path) -> None:
    for keys, message in (
        (
            {"separator": "::"},
            "separator: must be one of tab, semicolon, pipe, comma, blanks, or one character, got ::",
        ),
        ({"decimal": ";"}, "decimal: must be point or comma, got ;"),
        ({"encoding": "klingon"}, "encoding: must be the name of one, as utf-8, utf-16, cp1252, got klingon"),
        ({"encoding": "rot13"}, "encoding: must be the name of one, as utf-8, utf-16, cp1252, got rot13"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            read(tmp_path, text(ROWS), **keys)
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match=r"^separator: must be null for \.npy"):
        read_cells(tmp_path / "x.npy", separator="tab")


def test_parquet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    when = polars.Series(["2024-05-01", None, "2024-05-03"]).str.to_date()
    whole = polars.Series([1, 2, None], dtype=polars.Int16)
    kinds = polars.Series(["x", "y", None], dtype=polars.Categorical)
    frame = polars.DataFrame(
        {
            "f": [1.5, None, float("inf")],
            "i": whole,
            "b": [True, False, None],
            "k": kinds,
            "d": when,
            "l": [[1], [2], []],
        }
    )
    frame.write_parquet(tmp_path / "x.parquet")
    cells = read_cells(tmp_path / "x.parquet")
    assert (cells.names, cells.left_out, cells.where(2)) == (list("fibkdl"), (5,), "row 2")
    np.testing.assert_array_equal(cells.columns[0], [1.5, np.nan, np.inf])
    np.testing.assert_array_equal(cells.columns[1], [1, 2, np.nan])
    assert [c.tolist() for c in cells.columns[2:5]] == [
        ["true", "false", None], ["x", "y", None], ["2024-05-01", None, "2024-05-03"],
    ]  # fmt: skip
    assert "columns that are neither numbers nor text are left out: l (List(Int64))" in caplog.text
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"^path: .*x.parquet cannot be read as .parquet \(.+\)$"):
        read_cells(tmp_path / "x.parquet")


def test_archives_of_arrays(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    np.savez(file, x=X.astype(np.float32), energy=X[:, 0])
    assert read_cells(file).names == ["0", "1", "2"]
    np.savez(file, x=X, y=np.arange(12) % 3)
    cells = read_cells(file)
    assert (cells.names, cells.columns[3].tolist()) == (["0", "1", "2", "y"], [0.0, 1.0, 2.0] * 4)
    np.savez(file, whatever=X, y=np.array(["cat", "dog"] * 6))
    with pytest.raises(ValueError, match=r"^path: .*x.npz must hold one array, or x \(and y\), got whatever, y$"):
        read_cells(file)
    np.savez(file, x=X, y=np.array(["cat", "dog"] * 6))
    assert read_cells(file).columns[3].tolist() == ["cat", "dog"] * 6
    np.savez(file, X)
    np.testing.assert_array_equal(np.stack(read_cells(file).columns, 1), X)
    np.savez(file, x=X, y=X)
    with pytest.raises(ValueError, match=r"x.npz: y must be labels \[12\], one for each row of x, got \[12, 3\]$"):
        read_cells(file)
    for name in ("x.npz", "x.npy"):
        (tmp_path / name).write_bytes(b"PK\3\4 and no more")
        with pytest.raises(ValueError, match=r"^path: .* cannot be read as .np"):
            read_cells(tmp_path / name)


def test_a_large_file_is_read_at_once(tmp_path: Path) -> None:
    x = RNG.normal(size=(30_000, 15)).round(5)
    polars.DataFrame(x).write_csv(tmp_path / "x.csv")
    began = time.process_time()
    cells = read_cells(tmp_path / "x.csv")
    assert time.process_time() - began < 2
    np.testing.assert_array_equal(np.stack(cells.columns, 1), x)
