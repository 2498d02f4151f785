"""A trained run in a notebook: what goes in as arrays and comes back as such, and what is no point of it."""

import copy
import json
import math
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ebm_exp.config.errors import UserError
from ebm_exp.mode import Request, Score
from ebm_exp.run import LoadedRun, load_run
from ebm_exp.types import Points
from tests.warm import SMALL, Warm, environment


@pytest.fixture(scope="module")
def folder(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs: of the plane, of three columns without a clamp, of two classes of images; with a normaliser a flow in the
    plane, and ``edm`` of the columns with scores of ``evaluator=density``."""
    where = tmp_path_factory.mktemp("loaded")
    rng = np.random.default_rng(0)
    np.save(where / "x.npy", rng.normal(3, 2, (80, 3)))
    np.savez(where / "images.npz", x=rng.integers(0, 256, (80, 6, 5), np.uint8), y=np.array(["cat", "dog"] * 40))
    script = where / "script.py"
    script.write_text(f"""
import numpy as np
import ebm_exp
T = [*{list(SMALL)!r}, "sampler.clamp=false"]
ebm_exp.fit(None, *T, "dataset=two_moons", "dataset.n_train=500", "dataset.n_test=100", "hydra.run.dir={where}/plane")
ebm_exp.fit(np.load("{where}/x.npy"), *T, "hydra.run.dir={where}/rows")
N = [*T, "energy.timed=true", "normaliser=time_score", "optimized_metric=null"]
flow = ["objective=flow_matching", "dataset=two_moons", "dataset.n_train=500", "dataset.n_test=100"]
ebm_exp.fit(None, *N, *flow, "hydra.run.dir={where}/flow")
edm = ["objective=dsm", "noise=edm", "evaluator=density", "evaluator.density.n=20"]
ebm_exp.fit(np.load("{where}/x.npy"), *N, *edm, "hydra.run.dir={where}/edm")
images = np.load("{where}/images.npz")
ebm_exp.fit(images["x"], images["y"], *T, "energy.conditional=true", "hydra.run.dir={where}/images")
""")
    done = warm.run([str(script)], environment(), where, 120)
    assert done.returncode == 0, done.stderr
    return where


@pytest.fixture
def rows(folder: Path) -> LoadedRun:
    return load_run(folder / "rows", device="cpu")


@pytest.fixture
def images(folder: Path) -> LoadedRun:
    return load_run(folder / "images", device="cpu")


def test_arrays_for_arrays_and_tensors_for_tensors(rows: LoadedRun, folder: Path) -> None:
    raw = np.load(folder / "x.npy")
    x = rows.encode(raw)
    assert isinstance(x, np.ndarray)
    assert x.dtype == np.float32
    np.testing.assert_allclose(rows.decode(x).to_numpy(), raw, rtol=1e-6, atol=1e-6)
    same = torch.from_numpy(x)
    assert isinstance(rows.encode(torch.from_numpy(raw)), torch.Tensor)
    for ask in (rows.energies, rows.score):
        of_array, of_tensor = ask(x), ask(same)
        assert isinstance(of_array, np.ndarray)
        assert isinstance(of_tensor, torch.Tensor)
        np.testing.assert_array_equal(of_array, of_tensor.numpy())
        np.testing.assert_array_equal(of_array, ask(x.astype(np.float64)))
        np.testing.assert_array_equal(of_array, ask(x.tolist()))
    np.testing.assert_array_equal(rows.energies(raw, raw=True), rows.energies(x))
    assert rows.energies(x[:0]).shape == (0,)
    assert rows.draw(4, raw=True).columns == ["0", "1", "2"]
    np.testing.assert_array_equal(rows.decode(rows.draw(4)).to_numpy(), rows.draw(4, raw=True).to_numpy())


def test_the_score_is_the_slope_of_the_log_density(rows: LoadedRun) -> None:
    x = rows.draw(3).x.double().requires_grad_()
    with torch.enable_grad():
        energy = rows.energy.double()(x)
        (slope,) = torch.autograd.grad(energy.sum(), x)
    rows.energy.float()
    rows.temperature = 0.5
    torch.testing.assert_close(rows.score(x.detach()), -slope.float() / 0.5, rtol=1e-4, atol=1e-5)


def test_labels_by_name_or_number(images: LoadedRun) -> None:
    drawn = images.draw(6, label=["dog", "cat"])
    assert drawn.y is not None
    assert drawn.y.tolist() == [1, 0, 1, 0, 1, 0]
    own = images.energies(drawn)
    images.watch.has_told = True  # samples of so short a training are
    names = np.array(["dog", "cat"] * 3)
    for y in (drawn.y, drawn.y.numpy(), drawn.y.tolist(), names, names.tolist()):
        torch.testing.assert_close(images.energies(drawn.x, y), own, rtol=0, atol=0)
    torch.testing.assert_close(images.energies(drawn.x, "dog")[::2], own[::2], rtol=0, atol=0)
    assert images.score(Points(drawn.x, drawn.y)).shape == drawn.x.shape
    levels = images.decode(drawn)
    assert (levels.shape, levels.dtype) == ((6, 6, 5), np.uint8)
    np.testing.assert_array_equal(images.decode(images.encode(levels)), levels)
    for y, said in ((None, "y: .* needs labels"), ("bird", "y: must be of the classes cat, dog"), ([0], r"y: .*\[1\]")):
        with pytest.raises(UserError, match=said):
            images.energies(drawn.x, y)


def test_what_is_no_point_is_named(rows: LoadedRun, images: LoadedRun, unchecked: None) -> None:
    levels = np.zeros((2, 6, 5), np.uint8)
    for run, x, raw, said in (
        (images, levels[:, None], False, r"x: uint8 are no points, which are floats \[n, 1, 6, 5\]; raw=True takes"),
        (images, levels.astype(np.float32), False, r"x: must be of shape \[n, 1, 6, 5\], got \[2, 6, 5\]"),
        (images, levels[:, :3], True, r"x: must be of shape .*\[2, 1, 3, 5\]"),
        (images, levels + 0.5, True, "x: images must be whole levels from 0 to 255"),
        (rows, np.zeros(3), False, r"x: must be of shape \[n, 3\], got \[3\]; x\[None\] is one point"),
        (rows, np.zeros((3, 2)), True, r"x: rows must be \[n, 3\]"),
        (rows, "x", False, "x: must be an array or a tensor of numbers"),
        (rows, rows.draw(2, raw=True), False, r"x: must be points \[n, 3\], got a data frame; raw=True"),
    ):
        with pytest.raises(UserError, match=said):
            run.energies(x, *(["cat"] if run is images else []), raw=raw)
    with pytest.raises(UserError, match="y: the data have no classes"):
        rows.energies(np.zeros((2, 3)), 1)


def test_points_outside_are_told_once(rows: LoadedRun) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows.energies(rows.encode(np.full((2, 3), 3.0)))
    with pytest.warns(UserWarning, match=r"2 of 2 points are outside of \[.*values from 99 to 99; run.encode") as told:
        rows.energies(np.full((2, 3), 99.0))
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows.energies(np.full((2, 3), 99.0))


def test_who_calls_the_energy_itself_is_told_too(folder: Path, rows: LoadedRun, images: LoadedRun) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows.energy(rows.draw(3).x.clamp(-1, 1))
        rows.draw(3, start=torch.full((3, 3), 99.0))  # a chain that begins outside
    with pytest.warns(UserWarning, match="2 of 2 points are outside") as told:
        rows.energy(torch.full((2, 3), 99.0))
    assert told[0].filename == __file__
    with pytest.raises(UserError, match=r"x: uint8 are no points, which are floats; run\.energies\(x, raw=True\)"):
        images.energy(torch.zeros(2, 1, 6, 5, dtype=torch.uint8), y=torch.zeros(2, dtype=torch.int64))
    again = copy.deepcopy(rows.energy)
    torch.testing.assert_close(again(torch.zeros(2, 3)), rows.energy(torch.zeros(2, 3)), rtol=0, atol=0)
    assert pickle.loads(pickle.dumps(rows.energy)) is not None


def test_within_no_grad_and_inference_mode(folder: Path, rows: LoadedRun) -> None:
    x = rows.draw(3).x
    expected = rows.energies(x), rows.score(x), rows.draw(3).x
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            run = load_run(folder / "rows", device="cpu")
            inside = x + 0
            found = run.energies(inside), run.score(inside), run.draw(3).x
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        torch.testing.assert_close(run.score(x), expected[1], rtol=0, atol=0)  # what was loaded within serves without


def test_log_prob_integrates_to_one_in_the_plane(folder: Path) -> None:
    run = load_run(folder / "plane", device="cpu")
    with pytest.raises(UserError, match=r"log_prob: log Z of this run is not known; run.log_z\(\) finds it"):
        run.log_prob(np.zeros((1, 2)))
    found = run.log_z()
    assert found.se is not None
    assert found.se < 1e-3
    assert found.verdict == "quadrature: log Z on 600² cells"
    domain = run.parts["dataset"].domain
    side = np.linspace(domain.low, domain.high, 201)
    middle = (side[1:] + side[:-1]) / 2
    grid = np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2)
    log_p = run.log_prob(grid)
    assert isinstance(log_p, np.ndarray)
    assert np.exp(log_p).sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=2e-3)
    expected = -run.energies(grid).astype(np.float64) / run.temperature - found.value
    np.testing.assert_allclose(log_p, expected, atol=1e-12)


def test_log_z_by_chains_and_in_own_units(rows: LoadedRun, folder: Path, unchecked: None) -> None:
    found = rows.log_z(n_chains=8, n_betas=9, n_equilibrate=16)
    assert found.unit == "nats"
    assert str(found.verdict).startswith("equilibrated: ")
    raw = np.load(folder / "x.npy")[:5]
    width = rows.parts["dataset"].units.log_scale(torch.from_numpy(rows.encode(raw))).numpy()
    np.testing.assert_allclose(rows.log_prob(raw, raw=True), rows.log_prob(rows.encode(raw)) + width, rtol=1e-6)
    assert width[0] == pytest.approx(-3 * math.log(2), abs=1)  # the standard deviations are about two


def test_log_z_of_an_evaluation_serves(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "rows", tmp_path / "run")
    made = {"step": 3, "weights": "ema"}
    scores = {"ais_log_z": {"value": 1.5, "se": 0.1, "call": "c", "verdict": "equilibrated: yes"}}
    (run / "evaluation.json").write_text(json.dumps({"scores": scores, "calls": {"c": made}}))
    x = np.zeros((2, 3))
    loaded = load_run(run, device="cpu")
    np.testing.assert_allclose(loaded.log_prob(x), -loaded.energies(x) - 1.5, rtol=1e-6)
    with pytest.raises(UserError, match="log Z of this run is not known"):
        load_run(run, device="cpu", weights="online").log_prob(x)


def test_a_normaliser_gives_log_prob_in_one_pass(folder: Path) -> None:
    """Of a flow its constant is known; it is of data with the least noise, on all of space."""
    run = load_run(folder / "flow", device="cpu")
    x = torch.randn(5, 2) * 9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run.log_prob(x)
    assert found.dtype == torch.float64
    expected = -run.energies(Points(0.98 * x)).double() + 2 * math.log(0.98)
    torch.testing.assert_close(found, expected)
    known = run.log_z()
    assert (known.value, known.se, known.verdict) == (0.0, 0.0, "known")
    assert known == run.known_log_z()
    with pytest.raises(UserError, match="log_z: takes no n_chains for a run with a normaliser: it needs no chains"):
        run.log_z(n_chains=8)


def test_a_measured_constant_is_that_of_the_evaluation(folder: Path, tmp_path: Path) -> None:
    run = load_run(folder / "edm", device="cpu")
    row = {name: value for row in run.metrics() for name, value in row.items()}
    known = run.known_log_z()
    assert known is not None
    assert (known.value, known.se) == (row["eval/log_p_constant"], row["eval/log_p_constant_se"])
    raw = np.load(folder / "x.npy")[:5]
    x = run.encode(raw)
    np.testing.assert_allclose(run.log_prob(x), -run.energies(x).astype(float) - known.value)
    width = run.parts["dataset"].units.log_scale(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run.log_prob(raw, raw=True), run.log_prob(x) + width)
    anew = run.log_z(seed=1)
    assert anew.verdict == "measured where noise is most"
    assert anew.se is not None
    assert anew.se > 0
    assert abs(anew.value - known.value) < 4 * math.hypot(anew.se, known.se or 0)
    with pytest.raises(UserError, match=r"log Z of this run is not known; run.log_z\(\) finds it"):
        load_run(folder / "edm", device="cpu", weights="online").log_prob(x)
    columns = ",".join("abc"), *(",".join(map(str, each)) for each in raw)
    (tmp_path / "x.csv").write_text("\n".join(columns) + "\n")
    drawn = Score(str(tmp_path / "x.csv"))(load_run(folder / "edm", device="cpu"), Request(1, 0, tmp_path))
    assert drawn.metrics["log_density"] == pytest.approx(run.log_prob(x).mean(), abs=0.01)


def test_no_density_is_named(trained: Path) -> None:
    with pytest.raises(UserError, match=r"log_z: ais needs a density .* clamp acts on the chains") as error:
        load_run(trained, device="cpu").log_z()
    assert "~evaluator" not in str(error.value)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"weights": "averaged"}, "weights: must be one of 'ema' or 'online', got 'averaged'"),
        ({"checkpoint": "first"}, "checkpoint: must be one of 'latest', 'best' or 'diverged', got 'first'"),
        ({"checkpoint": -1}, "checkpoint: must be one of .*, got -1"),
        ({"device": "gpu"}, "device: must be one of 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ({"trust": "perhaps"}, "trust: must be true or false, got 'perhaps'"),
        ({"path": ""}, r"run: is empty \(unset variable\?\)"),
    ],
)
def test_arguments_are_checked_as_on_the_command_line(
    trained: Path, choices: dict[str, Any], said: str, unchecked: None
) -> None:
    with pytest.raises(UserError, match=said):
        load_run(**{"path": trained} | choices)
    with pytest.raises(TypeError, match="wieghts"):
        load_run(trained, wieghts="online")


def test_it_shows_itself(trained: Path, tmp_path: Path) -> None:
    run = load_run(trained, device="cpu")
    assert repr(run).startswith(f"LoadedRun({trained}; finished, step 3, ema weights; MLP of ")
    assert "digits: 1×8×8 in [-1, 1])" in repr(run)
    page = run._repr_html_()
    assert "src='data:image/png;base64," in page
    shown = shutil.copytree(trained, tmp_path / "<script>")
    (shown / "samples" / "step_99999999.png").symlink_to(shown / "samples" / "step_00000003.png")
    page = load_run(shown, device="cpu", trust=True)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "src=" not in page  # a link is not followed
