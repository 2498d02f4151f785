"""Rows of one's own: completed, and told how likely they are."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars
import pytest
import torch
from PIL import Image

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.missing import Gaussian
from ebm_exp.mode import Impute, Request, Score
from ebm_exp.mode.given import draw_given
from ebm_exp.run import load_run
from tests.warm import Warm, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]
RHO = 0.8  # between neighbours


@pytest.fixture(scope="module")
def rows(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose density is known: a Gaussian of three columns, one of them a category, and a note that is no data."""
    folder, g = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    a = g.standard_normal(60)
    lines = [f"{a[i] * 3 + 10:.3f},{a[i] - g.random():.2f},{'xyz'[i % 3]},{i % 2}" for i in range(60)]
    (folder / "data.csv").write_text("\n".join(["height,b,kind,class", *lines]))
    data = ("dataset=table", f"dataset.path={folder}/data.csv", "dataset.label_column=class", "dataset.test_share=0.2")
    energy = ("energy=gaussian", "energy.std=1", f"energy.correlation={RHO}", "regularization=none", "sampler=mala")
    small = ("trainer.max_steps=1", "trainer.batch_size=16", "optimizer.lr=1e-12", "sampler.n_steps=1", "device=cpu")
    quiet = ("evaluator=none", "optimized_metric=null", "logger.mode=disabled", "sampling.n_steps=80")
    start = "start@sampling.start=normal"
    given = ["train.py", *data, *energy, *small, *quiet, start, f"hydra.run.dir={folder}/run"]
    done = warm.run(given, environment(), folder, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_what_is_missing_is_drawn_given_the_rest(rows: Path, tmp_path: Path) -> None:
    """Of a Gaussian whose neighbours correlate b given the height is N(ρ h, 1 − ρ²) in deviations."""
    (tmp_path / "gaps.csv").write_text("note,height,b,kind\nfirst,13.5,,\nsecond,8.25,0.5,y\nthird,,,z\n")
    run = load_run(rows, device="cpu")
    columns = {column.name: column for column in run.parts["dataset"].units.columns}
    drawn = Impute(str(tmp_path / "gaps.csv"))(run, Request(100, 0, tmp_path))
    table = polars.read_csv(drawn.files["imputed"])
    assert table.columns == ["row", "draw", "note", "height", "b", "kind"]
    assert (table["row"].to_list(), table["draw"].to_list()) == (
        [i for i in range(3) for _ in range(100)],
        [*range(100)] * 3,
    )
    assert (table.null_count().sum_horizontal().item(), set(table["note"])) == (0, {"first", "second", "third"})
    first, second, third = (table.filter(polars.col("row") == i) for i in range(3))
    assert set(second["b"]) == {0.5}
    assert (set(second["height"]), set(first["height"]), set(third["kind"])) == ({8.25}, {13.5}, {"z"})
    (mean_h, one_h), (mean_b, one_b) = columns["height"].v[:2], columns["b"].v[:2]
    h, b = (13.5 - mean_h) / (one_h - mean_h), (first["b"].to_numpy() - mean_b) / (one_b - mean_b)
    left = math.sqrt(1 - RHO**2)
    assert abs(b.mean() - RHO * h) < 4 * left / math.sqrt(100)
    assert abs(b.std() - left) < 4 * left / math.sqrt(200)
    assert (drawn.metrics["rows"], drawn.metrics["incomplete"], drawn.metrics["missing"]) == (3, 2, 4)
    assert Image.open(drawn.files["image"]).width > 300

    once = Impute(str(tmp_path / "gaps.csv"), summary=True)(run, Request(100, 0, tmp_path))
    table = polars.read_csv(once.files["imputed"])
    assert table.columns == ["row", "note", "height", "height_std", "b", "b_std", "kind", "kind_share"]
    assert table["b"][0] == pytest.approx(first["b"].mean())
    assert table["b_std"].to_list() == [pytest.approx(first["b"].std()), None, pytest.approx(third["b"].std())]
    assert table["kind"][0] == first["kind"].mode()[0]
    assert table["kind_share"].to_list()[1:] == [None, None]


def test_rows_are_ordered_by_their_energy(rows: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "new.csv").write_text("kind;b;height;note\nx;-0.3;10.5;usual\nx;8.5;1.5;strange\nz;-0.4;9.5;usual\n")
    run = load_run(rows, device="cpu")
    drawn = Score(str(tmp_path / "new.csv"))(run, Request(1, 0, tmp_path))
    table = polars.read_csv(drawn.files["scores"])
    assert table.columns == ["row", "energy", "log_density", "kind", "b", "height", "note"]
    assert (table["row"][0], table["note"][0], table["height"][0]) == (1, "strange", 1.5)
    assert "1 of 3 points lie outside of the box" in caplog.text
    assert table["energy"].is_sorted(descending=True)
    constant = float(run.energy.log_z)
    assert table["log_density"].to_list() == [pytest.approx(-e - constant, abs=1e-5) for e in table["energy"]]
    assert drawn.metrics["beyond"] == pytest.approx(1 / 3)
    x = run.parts["dataset"].units.encode(polars.read_csv(tmp_path / "new.csv", separator=";"))
    by_row = dict(zip(table["row"], table["energy"], strict=True))
    torch.testing.assert_close(run.energy(x), torch.tensor([by_row[i] for i in range(3)]), rtol=1e-5, atol=1e-5)


def test_rows_that_have_no_point_are_left_without_a_score(
    rows: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A gap, a new category, and text for a number; what the file has beside the data stays as it is written."""
    lines = "height,b,kind,number\n10,,x,7\n10.5,-0.3,x,8\n9,1,w,9\n1.5,8.5,x,10\ntall,1,x,11\n"
    (tmp_path / "new.csv").write_text(lines)
    run, given = load_run(rows, device="cpu"), (str(tmp_path / "new.csv"),)
    with pytest.raises(UserError, match=r"mode.path: column .*; mode.skip=true scores the other rows"):
        Score(*given)(run, Request(1, 0, tmp_path))
    drawn = Score(*given, skip=True)(run, Request(1, 0, tmp_path))
    table = polars.read_csv(drawn.files["scores"])
    assert (table["row"].to_list(), table["number"].to_list()) == ([3, 1, 0, 2, 4], [10, 8, 7, 9, 11])
    assert [e is None for e in table["energy"]] == [e is None for e in table["log_density"]] == [False] * 2 + [True] * 3
    assert (drawn.metrics["rows"], "3 of 5 rows have no score" in caplog.text) == (2, True)
    x = run.parts["dataset"].units.encode({"height": [10.5, 1.5], "b": [-0.3, 8.5], "kind": ["x", "x"]})
    assert table["energy"][:2].to_list() == pytest.approx(run.energies(x).flip(0).tolist(), rel=1e-5)
    (tmp_path / "new.csv").write_text("height,b,kind\n10,,x\n")
    with pytest.raises(UserError, match=r"mode.path: no row of .*new.csv can be scored"):
        Score(*given, skip=True)(run, Request(1, 0, tmp_path))


@pytest.mark.parametrize(
    ("mode", "text", "said"),
    [
        (Impute, "height,b,kind\n1,2,x\n", r"mode.path: nothing is missing in .*x.csv; mode=score"),
        (Impute, "one,two\n1,2\n", r"mode.path: .*x.csv has no column height, b, kind; there are one, two"),
        (Impute, "height,b,kind\n1,,w\n", r"mode.path: column kind holds 'w', must be z, y, x"),
        (Score, "height,b\n1,2\n", r"mode.path: .*x.csv has no column kind; there are height, b"),
        (Score, "height,b,kind\n1,,x\n", r"mode.path: column b is missing in row 0; mode=impute"),
        (Score, "height,b,kind\ntall,2,x\n", r"mode.path: column height holds 'tall', must be numbers"),
        (Score, None, r"mode.path: .*x.csv is not there"),
    ],
)
def test_what_rows_cannot_be(
    mode: type[Impute] | type[Score], text: str | None, said: str, rows: Path, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        mode(str(tmp_path / "x.csv"))(load_run(rows, device="cpu"), Request(1, 0, tmp_path))


def test_modes_for_rows_as_commands(cli: Cli, rows: Path, tmp_path: Path) -> None:
    """One draw of each row as a rule, though other modes draw 64 points."""
    (tmp_path / "x.csv").write_text("height,b,kind\n10,,x\n11,0.5,\n")
    done = cli("sample.py", f"run={rows}", "mode=impute", f"mode.path={tmp_path}/x.csv", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "a" / "imputed.csv").read_text().splitlines()) == 3
    assert "rows 2  incomplete 2  missing 2" in done.stdout
    none = cli("sample.py", f"run={rows}", "mode=score", f"output_dir={tmp_path}/b")
    assert (none.returncode, "mode.path: is required" in none.stderr) == (2, True)


def test_images_are_scored_from_a_folder_or_an_array(trained: Path, tmp_path: Path) -> None:
    levels = np.zeros((5, 8, 8), np.uint8)
    levels[3] = np.arange(64).reshape(8, 8) % 17
    np.save(tmp_path / "x.npy", levels)
    run = load_run(trained, device="cpu")
    drawn = Score(str(tmp_path / "x.npy"))(run, Request(1, 0, tmp_path))
    table = polars.read_csv(drawn.files["scores"])
    assert (table.columns, sorted(table["row"])) == (["row", "energy"], [0, 1, 2, 3, 4])
    assert Image.open(drawn.files["extremes"]).width > 300
    with pytest.raises(UserError, match=r"mode.path: must be a folder of images, or an array of them \(.npy\), got"):
        Score(str(tmp_path / "x.txt"))(run, Request(1, 0, tmp_path))
    with pytest.raises(
        UserError, match=r"mode: impute needs rows, digits has points of shape \[1, 8, 8\]; try mode=inp"
    ):
        Impute("x.csv")(run, Request(1, 0, tmp_path))


def test_the_density_of_a_network_is_that_of_its_evaluation(trained: Path, tmp_path: Path) -> None:
    """Where evaluate.py has found log Z of these weights; a line says how where it has not."""
    run = load_run(trained, device="cpu")
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8), np.uint8))
    kept = {"scores": {"ais_log_z": {"value": 3.0, "call": "a"}}, "calls": {"a": {"step": run.step, "weights": "ema"}}}
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / "evaluation.json").write_text(json.dumps(kept))
    for path, known in ((trained, False), (folder, True)):
        drawn = Score(str(tmp_path / "x.npy"))(load_run(path, device="cpu"), Request(1, 0, tmp_path))
        assert ("log_density" in drawn.metrics) == known
    expected = -drawn.metrics["energy"] / run.temperature - 3
    assert drawn.metrics["log_density"] == pytest.approx(expected, rel=1e-5)


def test_points_of_the_plane_stand_for_bits(warm: Warm, tmp_path: Path) -> None:
    """Rows of two columns; all bits of a coordinate that is missing are drawn, and what is given stays as it is."""
    small = ("trainer.max_steps=1", "sampler.n_steps=1", "buffer.size=200", "energy.widths=[8]", "device=cpu")
    data = (
        "dataset.n_train=200",
        "dataset.n_test=50",
        "dataset.plane=rings",
        "dataset.n_bits=3",
        "sampling.n_steps=20",
    )
    given = ["train.py", "experiment=discrete/two_spirals", *small, *data, "logger.mode=disabled", "evaluator=none"]
    given += ["optimized_metric=null", f"hydra.run.dir={tmp_path}/run"]
    done = warm.run(given, environment(), tmp_path, timeout=240)
    assert done.returncode == 0, done.stderr
    (tmp_path / "x.csv").write_text("x,y,note\n1.25,-3.9,a\n9.5,1,b\n0,,c\n")
    run, path = load_run(tmp_path / "run", device="cpu"), str(tmp_path / "x.csv")
    table = polars.read_csv(Score(path, skip=True)(run, Request(1, 0, tmp_path)).files["scores"])
    assert table["note"].to_list() == ["a", "b", "c"]
    point = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])  # cells 5 and 0 of 8
    assert table["energy"].to_list() == [pytest.approx(float(run.energies(point)), rel=1e-5), None, None]
    with pytest.raises(UserError, match=r"mode.path: points must be finite, .*; mode.skip=true scores the other rows"):
        Score(path)(run, Request(1, 0, tmp_path))
    (tmp_path / "x.csv").write_text("x,y\n0.123,\n")
    drawn = Impute(path)(run, Request(20, 0, tmp_path))
    table = polars.read_csv(drawn.files["imputed"])
    assert (set(table["x"]), drawn.metrics["missing"]) == ({0.123}, 1)
    assert {y % 1 for y in table["y"]} == {0.5}
    assert len(set(table["y"])) > 2


def test_chains_begin_at_a_mixture_given_what_is_there() -> None:
    """Two Gaussians of two components; the second component is seen, or both are missing."""
    covariance = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    means = torch.tensor([[-2.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
    weights, gaussians = torch.tensor([0.75, 0.25], dtype=torch.float64), [Gaussian(m, covariance) for m in means]
    n, g = 4000, torch.Generator().manual_seed(0)
    x, missing = torch.tensor([[0.0, 0.3]]).expand(n, 2), torch.tensor([True, False]).expand(n, 2)
    found = draw_given(weights, gaussians, x, missing, g)
    assert (found[:, 1] == x[:, 1]).all()
    second = 1 / (1 + 3 * math.exp(-((0.3 + 1) ** 2 - (0.3 - 1) ** 2) / 2))  # its share given 0.3
    expected = (1 - second) * (-2 + 0.6 * 1.3) + second * (3 - 0.6 * 0.7)
    apart = (3 - 0.42) - (-2 + 0.78)
    std = math.sqrt(1 - 0.36 + second * (1 - second) * apart**2)
    assert abs(found[:, 0].mean() - expected) < 4 * std / math.sqrt(n)
    both = draw_given(weights, gaussians, x, torch.ones_like(missing), g)
    share = (both[:, 0] > 0.5).double().mean()  # 2.5 deviations from either
    assert abs(share - 0.25) < 0.01 + 4 * math.sqrt(0.25 * 0.75 / n)
