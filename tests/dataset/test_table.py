"""Tables of one's own: values, headers, labels, splits, and what is refused with its line and column."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from ebm_exp.dataset import Table
from ebm_exp.random import generator

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X = np.round(RNG.normal([1.0, -200.0, 0.003], [2.0, 50.0, 0.0001], (40, 3)), 9)
KINDS = np.array(["setosa", "virginica", "versicolor", "setosa"] * 10)


def text(rows: list, by: str = ",") -> str:
    return "".join(by.join(str(cell) for cell in row) + "\n" for row in rows)


def table(file: Path, content: str | bytes | np.ndarray | None = None, **more: object) -> Table:
    if isinstance(content, np.ndarray):
        np.save(file, content)
    elif content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return Table("table", CPU, str(file), **more)


def has_all_rows(data: Table) -> bool:
    """Whether the points are those of ``X``, but for a rounding to float32 in units of the standard deviation."""
    rows = own(torch.cat([data.train(), data.test()] if data.holds_out else [data.train()]), data)
    return float((np.abs(rows[rows[:, 0].argsort()] - X[X[:, 0].argsort()]) / X.std(0)).max()) < 1e-6


def own(x: torch.Tensor, data: Table) -> np.ndarray:
    """Points in units of their own."""
    return data.units.decode(x).to_numpy()


LABELLED = [[*row, kind] for row, kind in zip(X.tolist(), KINDS, strict=True)]
WAYS = {  # file, content, what names the columns
    "header": ("x.csv", text([["a", "b", "c"], *X.tolist()]), ["a", "b", "c"]),
    "no header": ("x.csv", text(X.tolist()), ["0", "1", "2"]),
    "numbered by pandas": ("x.csv", text([[0, 1, 2], *X.tolist()]), ["0", "1", "2"]),
    "blanks, as numpy.savetxt": ("x.txt", "# a b c\n" + text(X.tolist(), " "), ["0", "1", "2"]),
    "semicolons": ("x.csv", text([["a", "b", "c"], *X.tolist()], ";"), ["a", "b", "c"]),
    "tabs": ("x.TSV", text([["a", "b, c", "d;e"], *X.tolist()], "\t"), ["a", "b, c", "d;e"]),
    "quotes": ("x.csv", text([['"a, of course"', '"b\nc"', "c"], *X.tolist()]), ["a, of course", "b\nc", "c"]),
    "byte order mark": ("x.csv", "\ufeff" + text([["ä", "b", "c"], *X.tolist()]), ["ä", "b", "c"]),
    "empty lines, Windows": ("x.csv", "\n" + text([[*"abc"], *X.tolist()]).replace("\n", "\r\n\r\n"), list("abc")),
    "blanks in cells": ("x.csv", text([[" a", "b ", " c"], *X.tolist()], " , "), ["a", "b", "c"]),
    "array": ("x.npy", X, ["0", "1", "2"]),
    "array of text": ("x.npy", X.astype(str), ["0", "1", "2"]),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_table(way: str, tmp_path: Path) -> None:
    name, content, names = WAYS[way]
    data = table(tmp_path / name, content)
    assert (data.event_shape, data.n_train, data.n_test, data.n_classes) == ((3,), 36, 4, 0)
    assert data.units.names == names
    assert has_all_rows(data)
    assert data.fingerprint() == table(tmp_path / "again.npy", X).fingerprint()


def test_columns_are_standardised_and_the_box_has_room(tmp_path: Path) -> None:
    data = table(tmp_path / "x.npy", X, test_share=0.25)
    assert data.train().dtype == torch.float32
    torch.testing.assert_close(data.train().mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(data.train().std(0, correction=0), torch.ones(3), atol=1e-6, rtol=0)
    farthest = float(torch.cat([data.train(), data.test()]).abs().max())
    assert data.domain.low == -data.domain.high
    assert data.domain.high == 5.0 >= 1.25 * farthest  # a normal component has a millionth of its mass beyond
    far = table(tmp_path / "far.npy", np.concatenate([X, [[90.0, 0, 0]]]), test_share=0.25)
    farthest = float(torch.cat([far.train(), far.test()]).abs().max())
    assert 5.0 < 1.25 * farthest <= far.domain.high <= 1.25 * farthest + 0.1


def test_the_split_is_the_same_every_time_and_nothing_is_lost(tmp_path: Path) -> None:
    first, again = (table(tmp_path / "x.npy", X, test_share=0.3) for _ in range(2))
    assert (first.n_train, first.n_test, first.holds_out) == (28, 12, True)
    assert torch.equal(first.test(), again.test())
    whole = table(tmp_path / "x.npy", X, test_share=0.0)
    assert (whole.n_train, whole.holds_out) == (40, False)
    assert has_all_rows(whole)
    few = table(tmp_path / "x.npy", X, test_share=0.3, n_train=10, n_test=5)
    assert (few.n_train, few.n_test) == (10, 5)
    torch.testing.assert_close(few.train().std(0, correction=0), torch.ones(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("label", ["kind", 3, -1])
def test_text_labels_are_classes(header: bool, label: str | int, tmp_path: Path) -> None:
    if label == "kind" and not header:
        label = "3"
    content = text([["a", "b", "c", "kind"]] * header + LABELLED)
    data = table(tmp_path / "x.csv", content, label_column=label)
    assert (data.event_shape, data.n_classes) == ((3,), 3)
    assert data.class_names == ["setosa", "versicolor", "virginica"]
    for point, y in zip(own(data.train(), data), data.train_labels, strict=True):
        row = int(np.abs(X[:, 0] - point[0]).argmin())
        assert KINDS[row] == data.class_names[int(y)]
    two = table(tmp_path / "x.csv", label_column=label, classes=("virginica", "setosa"), test_share=0.2)
    assert (two.class_names, two.n_classes, two.n_train + two.n_test) == (["virginica", "setosa"], 2, 30)


def test_integer_labels_are_classes_in_their_order(tmp_path: Path) -> None:
    labels = np.array([10, 9, -1, 10] * 10)
    for content in (np.column_stack([X, labels]), text(np.column_stack([X, labels]).tolist())):
        file = tmp_path / ("x.npy" if isinstance(content, np.ndarray) else "x.csv")
        data = table(file, content, label_column=-1)
        assert data.class_names == ["-1", "9", "10"]
        assert sorted(torch.cat([data.train_labels, data.test_labels]).tolist()) == [0] * 10 + [1] * 10 + [2] * 20


def test_some_columns(tmp_path: Path) -> None:
    content = text([["id", "a", "b", "c", "kind"]] + [[i + 1, *row] for i, row in enumerate(LABELLED)])
    data = table(tmp_path / "x.csv", content, columns=("b", 1))
    assert (data.units.names, data.event_shape, data.n_classes) == (["b", "a"], (2,), 0)
    np.testing.assert_allclose(own(data.train(), data), own(table(tmp_path / "y.npy", X[:, :2]).train().flip(1), data))
    without = table(tmp_path / "x.csv", leave_out=("id", -2), label_column="kind")
    assert without.units.names == ["a", "b"]
    assert table(tmp_path / "x.csv", columns=(1,), label_column="kind").n_classes == 3
    with pytest.raises(ValueError, match=r"path: column id counts the rows; 'dataset.leave_out=\[id\]' leaves it out"):
        table(tmp_path / "x.csv", label_column="kind")
    with pytest.raises(ValueError, match="columns: must be one of id, a, b, c, kind, or a number from 0 to 4, got d"):
        table(tmp_path / "x.csv", columns=("d",))
    for columns in ((), ("a", 1), ("a", "kind")):
        with pytest.raises(ValueError, match="columns: must be different ones, and not that of the labels"):
            table(tmp_path / "x.csv", columns=columns, label_column="kind")


def test_one_column_is_enough(tmp_path: Path) -> None:
    for name, content in (("x.npy", X[:, 0]), ("x.csv", text([["a"], *X[:, :1].tolist()]))):
        assert table(tmp_path / name, content).event_shape == (1,)


def test_a_header_can_be_said(tmp_path: Path) -> None:
    content = text([[0, 1, 2], *X.tolist()])
    assert table(tmp_path / "x.csv", content, header=False, test_share=0.0).n_train == 41
    assert table(tmp_path / "x.csv", content, header=True, test_share=0.0).n_train == 40


ROWS = X.tolist()
REFUSED = {  # content of x.csv or x.npy, what is said of it, how it is asked for
    "text": (text([*ROWS, [1, "much", 2]]), "line 41: column 1 must be a number, got much (40 of 41", {}),
    "missing": (text([["a", "b", "c"], *ROWS, [1, "", 2]]), "line 42: column b is empty, as in 1 of 41", {}),
    "nothing but commas": (text([*ROWS, ["", "", ""]]), "1 of 41 rows, 2 more columns have gaps", {}),
    "NaN": (text([*ROWS, [1, "nan", 2]]), "line 41: column 1 is empty", {}),
    "infinite": (np.vstack([X, [1, 2, np.inf]]), "row 40: column 2 is inf, no finite number", {}),
    "ragged": (text([*ROWS[:7], [1, 2], *ROWS[7:]]), "line 8: 2 cells, 3 in most rows", {}),
    "after quoted lines": (text([["a", '"b\n"', "c"], *ROWS, [1, 2]]), "line 43: 2 cells, 3 in most rows", {}),
    "empty": ("", "is empty", {}),
    "empty lines": ("\n\n  \n", "is empty", {}),
    "a header alone": ("a,b\n", "has 0 rows, at least 3 are needed", {}),
    "too few rows": (text(ROWS[:2]), "has 2 rows, at least 3 are needed", {}),
    "one row": (X[:1], "has 1 rows, at least 2 are needed", {"test_share": 0.0}),
    "constant": (text([["a", "b"], *[[r[0], 0.1] for r in ROWS]]), "column b is constant over the training rows", {}),
    "too large": (X * 1e305, "has values too large to standardise", {}),
    "an index": (text([["n", "a"], *[[i, r[0]] for i, r in enumerate(ROWS)]]), "column n counts the rows", {}),
    "an open quote": (text(ROWS) + '"1,2,3', "unexpected end of data", {}),
    "three dimensions": (X.reshape(2, 20, 3), "must hold numbers [rows, columns], got float64 [2, 20, 3]", {}),
    "complex": (X.astype(complex), "must hold numbers [rows, columns], got complex128", {}),
    "no rows": (X[:0], "has 0 rows, at least 3 are needed", {}),
    "labels alone": (X[:, :1], "beside the labels there is no column", {"label_column": 0}),
    "a missing label": (text([*LABELLED, [1, 2, 3, ""]]), "leaves out 1, a label is not drawn", {"label_column": 3}),
    "a label that is NaN": (np.column_stack([X, [np.nan] * 40]), "row 0: column 3 is empty", {"label_column": 3}),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_table_is_said_in_one_line(kind: str, tmp_path: Path) -> None:
    content, message, more = REFUSED[kind]
    file = tmp_path / ("x.npy" if isinstance(content, np.ndarray) else "x.csv")
    with pytest.raises(ValueError, match=rf"^path: .*{re.escape(message)}") as caught:
        table(file, content, **more)
    assert "\n" not in str(caught.value)


def test_labels_that_are_no_classes(tmp_path: Path) -> None:
    table(tmp_path / "x.npy", np.column_stack([X, np.arange(40) // 20]), label_column=3)
    with pytest.raises(ValueError, match=r"label_column: 0 holds .*; must be text or integers"):
        table(tmp_path / "x.npy", label_column=0)
    np.save(tmp_path / "x.npy", np.column_stack([X, RNG.permutation(40)]))
    with pytest.raises(ValueError, match="label_column: 3 has 40 different values in 40 rows, no classes"):
        table(tmp_path / "x.npy", label_column=3)
    with pytest.raises(ValueError, match="label_column: must be one of 0, 1, 2, 3, or a number from 0 to 3, got kind"):
        table(tmp_path / "x.npy", label_column="kind")
    twice = text([["a", "a", "b"], *ROWS])
    with pytest.raises(ValueError, match=r"label_column: must be one of a_1, a_2, b"):
        table(tmp_path / "x.csv", twice, label_column="a")
    with pytest.raises(ValueError, match="classes: this data set has no labels"):
        table(tmp_path / "x.csv", classes=("a",))


def test_files_that_are_not_there_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^path: .*gone.csv is not there$"):
        table(tmp_path / "gone.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"^path: .*folder.csv is a folder$"):
        table(tmp_path / "folder.csv")
    with pytest.raises(
        ValueError, match=r"^path: must end in .csv, .tsv, .txt, .dat, .parquet, .npy or .npz, got .*x.xls"
    ):
        table(tmp_path / "x.xls", "")
    with pytest.raises(ValueError, match=r"^path: is empty \(unset variable\?\)"):
        Table("table", CPU, "")
    np.save(tmp_path / "objects.npy", np.array([{}, 1], object))
    for name, content in (("objects.npy", None), ("empty.npy", b""), ("text.npy", b"1,2,3\n")):
        with pytest.raises(ValueError, match=rf"^path: .*{name} cannot be read as .npy \(.+\)$"):
            table(tmp_path / name, content)
    np.save(tmp_path / "cut.npy", X)
    with pytest.raises(ValueError, match=r"^path: .*cut.npy cannot be read as .npy"):
        table(tmp_path / "cut.npy", (tmp_path / "cut.npy").read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"^n_test: test_share=0 holds nothing out, got 5"):
        table(tmp_path / "x.npy", X, test_share=0.0, n_test=5)


def test_noise_stays_in_the_box(tmp_path: Path) -> None:
    data = table(tmp_path / "x.npy", X, noise_std=5.0)
    assert data.batch(0, 36, 0).x.abs().max() <= data.domain.high


MIXED = text(
    [["age", "sex", "dose", "gain", "k"]]
    + [[20 + i % 37, "mf"[i % 5 // 3], i % 3, 0 if i % 4 else 10 * i, f"{i * 0.7 % 5:.2f}"] for i in range(120)]
)


def test_text_and_few_numbers_are_categories(tmp_path: Path) -> None:
    units = table(tmp_path / "x.csv", MIXED).units
    assert units.describe() == "standardised: age, k; by quantiles: gain; categories: sex (2), dose (3)"
    chosen = table(tmp_path / "x.csv", categories=("age",)).units
    assert chosen.describe() == "standardised: k; by quantiles: dose, gain; categories: age (37), sex (2)"
    assert table(tmp_path / "x.csv", scale="quantile").units.describe().startswith("by quantiles: age, gain, k; cat")
    with pytest.raises(ValueError, match="categories: must be one of age, sex, dose, gain, k"):
        table(tmp_path / "x.csv", categories=("size",))
    with pytest.raises(ValueError, match=r"path: column t has 41 different values in 41 rows, no categories; 'data"):
        table(tmp_path / "t.csv", text([["a", "t"], *[[x[0], f"text {i}"] for i, x in enumerate([*ROWS, ROWS[0]])]]))


@pytest.mark.parametrize("name", ["id", "a name", "height (cm), at noon", "2019", "it's", "50 %"])
def test_what_leaves_a_column_out_works_as_it_is_printed(name: str, tmp_path: Path) -> None:
    rows = [[f'"{name}"', "a", "b"], *[[i, *row[:2]] for i, row in enumerate(ROWS)]]
    with pytest.raises(ValueError, match="counts the rows; ") as caught:
        table(tmp_path / "x.csv", text(rows), header=True)
    (typed, *_) = shlex.split(str(caught.value).partition("; ")[2])
    override = OverridesParser.create().parse_override(typed)
    assert override.key_or_group == "dataset.leave_out"
    assert table(tmp_path / "x.csv", header=True, leave_out=tuple(override.value())).units.names == ["a", "b"]


def test_a_batch_draws_anew_what_stands_for_an_interval(tmp_path: Path) -> None:
    data = table(tmp_path / "x.csv", MIXED, noise_std=0.0)
    order = torch.randperm(108, generator=generator("cpu", "epoch", 0, 0, 0))
    stored, first, again, other = (data.train()[order], *(data.batch(i, 108, 0).x for i in (0, 0)), data.train()[order])
    assert torch.equal(first, again)
    assert (first != stored).float().mean() > 0.9
    assert data.units.decode(first).equals(data.units.decode(other))


def test_rows_with_gaps_are_left_out_or_filled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gaps = [[*row] for row in X.tolist()]
    for i in range(0, 40, 4):
        gaps[i][i % 3] = ""
    dropped = table(tmp_path / "x.csv", text(gaps), missing="drop")
    assert dropped.n_train + dropped.n_test == 30
    caplog.set_level("INFO")
    data = table(tmp_path / "x.csv", missing="impute", test_share=0.3, noise_std=0.0)
    assert data.n_train == 28
    n = sum(has_row(data.train(), data, X[i], i % 3) for i in range(0, 40, 4))
    left = f"; {10 - n} of 12 held-out rows have gaps, and are not scored"
    assert f"{n} of 28 training rows have gaps, which are drawn anew for each batch{left}" in caplog.text
    assert data.n_test == 12 - sum(1 for i in range(40) if i % 4 == 0 and not has_row(data.train(), data, X[i], i % 3))
    order = torch.randperm(28, generator=generator("cpu", "epoch", 0, 0, 0))
    first, second = (data.batch(i, 28, 0).x[order.argsort()] for i in (0, 0))
    assert torch.equal(first, second)
    moved = first != data.train()
    assert moved.any(1).sum() == sum(has_row(data.train(), data, X[i], i % 3) for i in range(0, 40, 4))
    assert moved.sum() == moved.any(1).sum()
    labelled = text([[*row, kind] for row, kind in zip(gaps, ["", *KINDS[1:]], strict=True)])
    with pytest.raises(ValueError, match="column 3 is empty, as in 1 of 40 rows"):
        table(tmp_path / "y.csv", labelled, label_column=3, missing="impute")


def has_row(x: torch.Tensor, data: Table, row: np.ndarray, without: int) -> bool:
    """Whether a row is among points, one component not counted."""
    kept = [k for k in range(len(row)) if k != without]
    return bool((np.abs(own(x, data)[:, kept] - row[kept]) / X.std(0)[kept] < 1e-6).all(1).any())


def test_one_far_out_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table(tmp_path / "x.npy", np.vstack([np.tile(X, (50, 1)) + RNG.normal(size=(2000, 3)), [0, 1e6, 0]]))
    assert "row 2000: column 1 lies" in caplog.text
