"""Images of tables: what is shown of which columns."""

import math
import time
from pathlib import Path

import numpy as np
import polars
import pytest
import torch
from PIL import Image

from ebm_exp import marginals
from ebm_exp.canvas import DATA, MODEL
from ebm_exp.dataset import Domain
from ebm_exp.dataset.columns import category, number
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.dataset.units import Points
from ebm_exp.marginals import Column, disagreement, draw_pairs
from ebm_exp.plots import pixels, sample_panels

RNG = np.random.default_rng(0)
V = RNG.normal(size=(400, 7)).round(3)
KINDS = np.array(["a name that is long", "b", "c", "d"] * 100)


def units(n: int, *more: object) -> TableUnits:
    columns = [number(f"column {k}", V[:, k], V[:, k]) for k in range(n)]
    return TableUnits(Domain(-9.0, 9.0, (n + len(more),)), [*columns, *more])


def normal(n: int, d: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n + d)) + shift


def drawn(monkeypatch: pytest.MonkeyPatch, path: Path, sets: dict, of: object) -> tuple[list[Column], list[str], str]:
    """What an image is made of."""
    seen: list[tuple[list[Column], list[str], str]] = []
    monkeypatch.setattr(marginals, "_draw", lambda path, *what: seen.append(what))
    draw_pairs(path, sets, of)
    return seen[0]


def test_columns_are_in_own_units_under_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    of = units(2, category("kind", KINDS, KINDS))
    x = of.encode({"column 0": V[:, 0], "column 1": V[:, 1], "kind": KINDS})
    columns, titles, said = drawn(monkeypatch, tmp_path, {"data": x, "samples": x[:9]}, of)
    assert ([column.name for column in columns], titles, said) == (
        ["column 0", "column 1", "kind"],
        ["data", "samples"],
        "",
    )
    for k in (0, 1):
        np.testing.assert_allclose(columns[k].values[0], V[:, k], atol=1e-9)
        np.testing.assert_allclose(columns[k].values[1], V[:9, k], atol=1e-9)
    assert columns[2].categories is not None
    assert [columns[2].categories[int(k)] for k in columns[2].values[0]] == KINDS.tolist()


def test_of_many_columns_those_that_disagree_most_are_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    of, data = units(7), normal(300, 7)
    samples = data + torch.tensor([0.0, 2.0, 0.1, 3.0, 1.0, 1.5, 0.0])
    columns, _, said = drawn(monkeypatch, tmp_path, {"data": data, "samples": samples}, of)
    assert [column.name[-1] for column in columns] == ["1", "2", "3", "4", "5"]
    assert said == "the 5 of 7 columns that disagree most"
    columns, _, said = drawn(monkeypatch, tmp_path, {"samples": samples}, of)
    assert ([column.name[-1] for column in columns], said) == (["0", "1", "2", "3", "4"], "the first 5 of 7 columns")


def test_disagreement_is_a_distance_of_distributions() -> None:
    def column(a: list[float], b: list[float], names: list[str] | None = None) -> Column:
        values = [np.array(a, float), np.array(b, float)]
        return Column("x", values, [np.ones(len(v), bool) for v in values], names)

    assert disagreement(column([1, 2, 3, 4], [1, 2, 3, 4])) == 0
    assert disagreement(column([1, 2], [3, 4])) == 1
    assert disagreement(column([1, 2, 3, 4], [3, 4, 5, 6])) == 0.5
    assert disagreement(column([1, 2], [])) == 1
    assert disagreement(column([0, 0, 1, 2], [0, 1, 1, 2], ["a", "b", "c"])) == 0.25


def test_points_that_are_not_finite_and_cells_that_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x = normal(50, 2)
    x[3, 0], x[7, 1] = math.nan, math.inf
    columns, _, _ = drawn(monkeypatch, tmp_path, {"data": normal(50, 2), "samples": x}, units(2))
    assert [len(v) for v in columns[0].values] == [50, 48]
    frame = polars.DataFrame({"a": [1.0, None, 3.0], "b": ["x", "y", None]})
    a, b = marginals._columns([frame])
    assert (a.values[0].tolist(), b.values[0].tolist(), a.kept[0].tolist()) == ([1, 3], [0, 1], [True, False, True])
    draw_pairs(tmp_path / "x.png", {"data": x, "samples": x[:0]}, units(2))


def test_rare_categories_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = np.repeat([f"kind {k}" for k in range(20)], range(21, 1, -1))
    (column,) = marginals._columns([polars.DataFrame({"x": texts})])
    assert column.categories == [*(f"kind {k}" for k in range(7)), "13 others"]
    assert np.bincount(column.values[0].astype(int)).tolist() == [*range(21, 14, -1), sum(range(2, 15))]


def test_bars_hold_equally_many_values_and_are_as_narrow_as_the_data() -> None:
    ages = RNG.integers(20, 90, 300).astype(float)
    edges = marginals._edges(ages, (18.0, 92.0))
    assert set(np.diff(edges)) == {3.0}
    assert edges[0] % 1 == 0.5
    for v in (ages, ages / 10, ages * 1e-7, ages * 1e9, np.zeros(9)):
        low, high = marginals._limits(Column("x", [v], [v == v], None))
        edges = marginals._edges(v, (low, high))
        assert edges[0] <= v.min() <= v.max() <= edges[-1]
        assert 10 < len(edges) < 40 or v.max() == 0


@pytest.mark.filterwarnings("error")
def test_names_are_no_mathematics(tmp_path: Path) -> None:
    texts = np.array(["$<10", "中文", "a\nb", r"$\frac$"] * 100)
    of = TableUnits(Domain(-9.0, 9.0, (2,)), [number(r"$\frac$", V[:, 0], V[:, 0]), category("数 $", texts, texts)])
    draw_pairs(tmp_path / "x.png", {"data": normal(100, 2)}, of)
    sample_panels(tmp_path / "y.png", {"data": normal(100, 2)}, of)
    assert pixels(normal(9, 2), of).shape[2] == 3


@pytest.mark.parametrize("sets", [{}, {"buffer": 0.5}])
def test_every_set_is_seen_in_its_colour(sets: dict[str, float], tmp_path: Path) -> None:
    of = units(4, category("kind", KINDS, KINDS))
    panels = {"data": normal(500, 5)} | {k: normal(500, 5, v) for k, v in sets.items()} | {"fresh": normal(500, 5, 0.3)}
    began = time.process_time()
    draw_pairs(tmp_path / "x.png", panels, of)
    assert time.process_time() - began < 5  # a second, where nothing else is at work
    pixels = np.asarray(Image.open(tmp_path / "x.png")).reshape(-1, 3)
    shares = [
        (np.abs(pixels.astype(int) - [int(color[k : k + 2], 16) for k in (1, 3, 5)]).max(1) < 60).mean()
        for color in (DATA, MODEL)
    ]
    assert min(shares) > 0.003
    assert max(Image.open(tmp_path / "x.png").size) < 1300


@pytest.mark.parametrize("shape", [(1,), (2,), (9,), (3, 2)])
def test_points_without_names_are_shown_too(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = normal(40, math.prod(shape)).view(40, *shape)
    draw_pairs(tmp_path / "x.png", {"data": x, "samples": x * 2}, Points(Domain(-5.0, 5.0, shape)))
    assert np.asarray(Image.open(tmp_path / "x.png").convert("L")).std() > 10
