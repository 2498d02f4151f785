"""Columns as components: every value comes back, marginals are normal, and densities change as they must."""

import json

import numpy as np
import pytest
import torch

from ebm_exp.dataset.columns import Column, category, find_grid, is_few, number
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.maps import Maps
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.dataset.units import read_units

KINDS = {
    "floats": lambda r, n: r.normal(size=n) * 10.0 ** r.integers(-6, 6) + r.normal() * 10.0 ** r.integers(-2, 4),
    "whole": lambda r, n: r.integers(0, int(10.0 ** r.integers(1, 7)), n).astype(float),
    "decimals": lambda r, n: np.round(r.lognormal(size=n) * 100, int(r.integers(0, 4))),
    "mostly zero": lambda r, n: np.where(r.random(n) < r.random(), 0, r.integers(0, 10_000, n)).astype(float),
    "half zero, floats": lambda r, n: np.where(r.random(n) < 0.5, 0, r.exponential(size=n)),
    "few": lambda r, n: r.choice([-0.0446, 0.0507, 0.1], n),
}


def column(v: np.ndarray, train: np.ndarray, by_quantiles: bool) -> Column:
    return category("a", train, v) if is_few(v) else number("a", train, v, by_quantiles)


@pytest.mark.parametrize("by_quantiles", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_comes_back(kind: str, by_quantiles: bool) -> None:
    for seed in range(20):
        r = np.random.default_rng(seed)
        v = KINDS[kind](r, int(r.integers(10, 2000)))
        train = v[: max(5, len(v) * 7 // 10)]
        if len(np.unique(train)) < 2:
            continue
        made = column(v, train, by_quantiles)
        maps = Maps([made])
        values = torch.from_numpy(v if made.values is None else np.searchsorted(made.values, v).astype(float))[:, None]
        x = maps.encode(values, torch.rand(values.shape, dtype=torch.float64))
        assert x.isfinite().all()
        back = maps.to_values(x)
        rounding = 1e-5 * float(v.std()) if made.normal else 1e-6 * float(np.abs(v).max() + v.std())
        assert float((back - values).abs().max()) <= (made.step / 1e6 or rounding), (kind, seed)
        again = maps.redraw(x, torch.rand(values.shape, dtype=torch.float64))
        if made.step and not made.normal:  # else an interval without training rows may be as narrow as float32 is
            torch.testing.assert_close(maps.to_values(again), values)


def test_what_repeats_has_a_density() -> None:
    """Whole numbers with a common value, and categories, are normal: nothing is narrow, nothing is left out."""
    r = np.random.default_rng(1)
    for v in (
        np.where(r.random(5000) < 0.7, 0, r.integers(1, 90, 5000)).astype(float),
        r.choice([1.0, 2.0, 7.0], 5000),
    ):
        made = column(v, v, False)
        at = v if made.values is None else np.searchsorted(made.values, v).astype(float)
        x = Maps([made]).encode(torch.from_numpy(at)[:, None], torch.from_numpy(r.random((5000, 1))))
        assert float(x.mean()) == pytest.approx(0, abs=0.06)
        assert float(x.std()) == pytest.approx(1, abs=0.05)
        inside = torch.special.ndtr(x.double())
        assert float(torch.histc(inside, 20, 0, 1).sub(250).abs().max()) < 5 * 250**0.5


def test_log_scale_turns_densities_into_probabilities() -> None:
    """Σ P(value) = 1 under a standard normal x: of a category, and of numbers on a grid."""
    r = np.random.default_rng(2)
    v = np.minimum(r.geometric(0.2, 3000), 30).astype(float)
    for made in (category("a", v, v), number("a", v, v), number("a", v, v, True)):
        maps, values = Maps([made]), np.arange(len(made.values)) if made.values else np.arange(-60.0, 90.0)
        u = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
        at = torch.from_numpy(values.astype(float)).repeat_interleave(200)[:, None]
        x = maps.to_points(at, u.repeat(len(values))[:, None]).double()
        log_p = -x.square() / 2 - 0.5 * np.log(2 * np.pi) + maps.log_scale(x)
        by_value = log_p.exp().view(-1, 200).mean(1)  # of the interval, times its width of one
        assert float(by_value.sum()) == pytest.approx(1, abs=0.01)
        if made.values is not None:
            share = np.bincount(v.astype(int))[1:] / len(v)
            np.testing.assert_allclose(by_value, share[share > 0], rtol=0.02)


def test_grids() -> None:
    assert find_grid(np.array([0.005, 0.01, 0.04])) == (0.005, 3)
    assert find_grid(np.array([3.0, 7.0, 11.0])) == (4.0, 0)
    assert find_grid(np.random.default_rng(0).normal(size=9))[0] == 0.0
    assert find_grid(np.array([1e300, 2e300]))[0] == 0.0


def test_rows_come_back_with_names_and_types() -> None:
    import polars

    r = np.random.default_rng(3)
    rows = polars.DataFrame(
        {
            "age": r.integers(17, 90, 300),
            "length": np.round(r.normal(3, 0.5, 300), 2),
            "kind": r.choice(["a", "b", "c"], 300),
            "k": r.integers(0, 4, 300),
            "gain": np.where(r.random(300) < 0.9, 0, r.integers(1, 9000, 300)),
        }
    )
    columns = [
        category(n, c, c) if n in ("kind", "k") else number(n, c, c)
        for n, c in ((n, rows[n].to_numpy().astype(str if n == "kind" else float)) for n in rows.columns)
    ]
    units = TableUnits(Domain(-6, 6, (5,)), columns, "y")
    x = units.encode(rows)
    assert units.decode(x).equals(rows)
    assert torch.equal(units.encode(dict(zip(rows.columns, rows, strict=True))), x)
    again = read_units(json.loads(json.dumps(units.facts())), units.domain)
    assert torch.equal(again.encode(rows), x)
    assert again.decode(x).equals(rows)
    assert again.label == "y"
    gaps = rows.with_columns(polars.when(polars.col("k") == 1).then(None).otherwise(polars.col("kind")).alias("kind"))
    with pytest.raises(ValueError, match="column kind is missing in row"):
        units.encode(gaps)
    assert units.encode(gaps, missing=True).isnan().sum() == (rows["k"] == 1).sum()
    for wrong, text in (
        (rows.drop("age", "k"), "rows have no column age, k; there are length, kind, gain"),
        (rows.with_columns(kind=polars.lit("d")), "column kind holds 'd', must be a, "),
        (rows.with_columns(age=polars.lit("old")), "column age holds 'old', must be numbers"),
        (rows.with_columns(gain=polars.lit(10**6)), "column gain holds 1e\\+06, its quantiles reach from"),
        (np.zeros((3, 4)), r"rows must be \[n, 5\] \(age, length, kind, k, gain\), got \[3, 4\]"),
    ):
        with pytest.raises(ValueError, match=text):
            units.encode(wrong)
