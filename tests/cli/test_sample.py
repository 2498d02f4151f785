"""sample.py as a user starts it."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars
import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from ebm_exp.run import load_run
from tests.warm import SMALL, Warm, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_files_and_their_values(cli: Cli, trained: Path, tmp_path: Path) -> None:
    done = cli("sample.py", f"run={trained}", "n_samples=70", "n_steps=12", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    drawn = np.load(tmp_path / "a" / "samples.npz")
    assert drawn["x"].shape == (70, 1, 8, 8)
    assert drawn["x"].dtype == np.float32
    assert drawn["energy"].shape == (70,)
    assert np.abs(drawn["x"]).max() <= 1
    assert Image.open(tmp_path / "a" / "samples.png").width > 100
    fewer = cli("sample.py", f"run={trained}", "n_samples=16", "n_steps=12", f"output_dir={tmp_path}/b")
    assert fewer.returncode == 0, fewer.stderr
    np.testing.assert_allclose(np.load(tmp_path / "b" / "samples.npz")["x"], drawn["x"][:16], atol=1e-5)


def test_chains_as_a_film_with_diagnostics(cli: Cli, trained: Path, tmp_path: Path) -> None:
    done = cli("sample.py", f"run={trained}", "mode=chain", "n_samples=70", "n_steps=12", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "a" / "chain.gif").n_frames >= 2
    assert Image.open(tmp_path / "a" / "energy.png").width > 100
    drawn = np.load(tmp_path / "a" / "samples.npz")
    assert drawn["energy_trace"].shape == (12, 70)
    np.testing.assert_allclose(drawn["energy_trace"][-1], drawn["energy"], rtol=1e-4, atol=1e-6)
    told = json.loads((tmp_path / "a" / "diagnostics.json").read_text())
    assert {"ess", "r_hat", "chain/grad_norm"} <= set(told)
    assert told["ess_at_most"] == 6 * 70


@pytest.mark.parametrize(
    "sampler", ["mala", "hmc", "underdamped", "annealed", "tempering", "jump start@sampler.proposal=mixture"]
)
def test_another_sampler_at_the_temperature_of_the_run(cli: Cli, trained: Path, tmp_path: Path, sampler: str) -> None:
    arguments = [f"sampler={sampler.split()[0]}", *sampler.split()[1:], "n_steps=6", f"output_dir={tmp_path}/a"]
    done = cli("sample.py", f"run={trained}", *arguments)
    assert done.returncode == 0, done.stderr
    assert ", temperature 0.0002:" in done.stdout
    assert ("fidelity" if sampler == "underdamped" else "acceptance") in done.stdout
    assert np.abs(np.load(tmp_path / "a" / "samples.npz")["x"]).max() <= 1


@pytest.mark.parametrize("mask", ["left", "centre", "random", "{file}"])
def test_inpainting_keeps_what_is_seen(cli: Cli, trained: Path, tmp_path: Path, mask: str) -> None:
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    mask = mask.replace("{file}", str(tmp_path / "mask.png"))
    done = cli("sample.py", f"run={trained}", "mode=inpaint", f"mask={mask}", "n_steps=4", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    drawn = np.load(tmp_path / "a" / "samples.npz")
    digits = load_digits().images[:, None] / 8 - 1
    hidden = drawn["mask"]
    assert {"left": hidden[0, :, :4].all() and not hidden[0, :, 4:].any(), "centre": hidden.sum() == 16}.get(mask, True)
    seen = {tuple(np.round(image[~hidden], 4)) for image in digits}
    assert all(tuple(np.round(x[~hidden], 4)) in seen for x in drawn["x"])
    assert Image.open(tmp_path / "a" / "inpaint.png").width > 500


def test_denoising_and_drift(cli: Cli, trained: Path, tmp_path: Path) -> None:
    done = cli("sample.py", f"run={trained}", "mode=denoise", "mode.noise_std=0.5", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    noisy = float(done.stdout.split("psnr_noisy ")[1].split()[0])
    assert noisy == pytest.approx(20 * np.log10(2 / 0.5), abs=0.2)
    done = cli("sample.py", f"run={trained}", "mode=drift", "n_steps=2", f"output_dir={tmp_path}/b")
    assert done.returncode == 0, done.stderr
    assert all(f"energy_{n}" in done.stdout for n in (2, 20, 200))


def test_what_is_drawn_joins_the_run_in_its_dashboard(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "digits" / "run"
    small = [argument for argument in SMALL if not argument.startswith("logger")]
    done = cli("train.py", *small, "logger.mode=offline", f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    done = cli("sample.py", f"run={run}", f"logger.dir={tmp_path}", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    listed = b"".join(file.read_bytes() for file in folders[1].glob("*.wandb"))
    assert b"digits/run" in listed
    assert b"samples/grid" in listed
    assert list((folders[1] / "files" / "media" / "images" / "samples").glob("grid_*.png"))


@pytest.mark.parametrize(("start", "words"), [("data", "from data"), ("buffer", "from the buffer")])
def test_chains_start_where_asked(cli: Cli, trained: Path, tmp_path: Path, start: str, words: str) -> None:
    done = cli("sample.py", f"run={trained}", f"start={start}", "sampler.step_size=1e-6", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run=/nowhere"], ["run", "/nowhere"]),
        ([], ["run: is required"]),
        (["{run}", "sampler.stepsize=1"], ["sampler.stepsize", "step_size"]),
        (["{run}", "n_samples=0"], ["n_samples", "> 0"]),
        (["{run}", "normaliser=time_score"], ["normaliser: says how the run was trained, which is over"]),
        (["{run}", "sampler=foo"], ["sampler", "langevin"]),
        (["{run}", "start=foo"], ["start", "uniform"]),
        (["{run}", "label=3"], ["label: MLP is not class-conditional"]),
        (["{run}", "mode=foo"], ["mode", "inpaint"]),
        (["{run}", "mode=inpaint", "mask=foo"], ["mask: must be left, centre, random or an image file"]),
        (["{run}", "mode=inpaint", "mask=random", "mode.share=0"], ["mask: must hide a part", "random hides nothing"]),
        (["{run}", "mode=denoise", "mode.noise_std=0"], ["mode.noise_std: must be > 0"]),
        (["{run}", "mode=compose", "mode.coefficients=[1,2]"], ["mode.coefficients: needs one for each of the 1 runs"]),
        (["{run}", "mode=compose", "mode.operation=mixture"], ["mode.log_z: is required"]),
    ],
)
def test_bad_input(cli: Cli, trained: Path, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    filled = [a.replace("{run}", f"run={trained}") for a in arguments]
    process = arguments == ["run=/nowhere"]
    done = cli("sample.py", *filled, f"output_dir={tmp_path}/out", timeout=60, process=process)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
    for word in words:
        assert word in done.stderr


def test_classes_as_asked(cli: Cli, tmp_path: Path) -> None:
    """By name or number, also where the images are gone."""
    run, images = tmp_path / "run", tmp_path / "images"
    for k, name in enumerate(("cat", "dog")):
        (images / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (8, 8), 100 * k + i).save(images / name / f"{i}.png")
    data = ("dataset=image_folder", f"dataset.root={images}", "dataset.size=8", f"dataset.cache_dir={tmp_path}")
    done = cli("train.py", *SMALL, *data, "energy.conditional=true", f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(images)
    drawn = cli("sample.py", f"run={run}", "label=[dog, 0]", "n_samples=5", f"output_dir={tmp_path}/a")
    assert drawn.returncode == 0, drawn.stderr
    assert np.load(tmp_path / "a" / "samples.npz")["y"].tolist() == [1, 0, 1, 0, 1]
    assert Image.open(tmp_path / "a" / "samples.png").width > 700  # a panel for each
    one = cli("sample.py", f"run={run}", "label=dog", "n_samples=2", f"output_dir={tmp_path}/b")
    assert (one.returncode, np.load(tmp_path / "b" / "samples.npz")["y"].tolist()) == (0, [1, 1])
    wrong = cli("sample.py", f"run={run}", "label=bird", f"output_dir={tmp_path}/c")
    assert wrong.returncode == 2
    assert "label: must be of the classes cat, dog, or of their numbers 0 to 1, got bird" in wrong.stderr


@pytest.mark.parametrize("target", ["torch.utils.collect_env.run", "os.system"])
def test_a_run_that_names_foreign_code_builds_nothing(cli: Cli, trained: Path, tmp_path: Path, target: str) -> None:
    config = yaml.safe_load((trained / ".hydra" / "config.yaml").read_text())
    config["energy"] = {"_target_": target, "command": f"touch {tmp_path}/ran"}
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    done = cli("sample.py", f"run={tmp_path}/run", f"output_dir={tmp_path}/out")
    assert done.returncode == 2
    assert target in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_resolver_of_a_run_is_named_with_the_ways_out(cli: Cli, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    config = yaml.safe_load((run / ".hydra" / "config.yaml").read_text())
    config["dataset"]["name"] = "${oc.env:HOME}"
    (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    for command, given in (("sample.py", f"run={run}"), ("train.py", f"resume={run}")):
        done = cli(command, given)
        assert done.returncode == 2
        assert done.stderr.startswith(
            "dataset.name: the run's config calls a resolver here; give a value, or trust=true"
        )
    done = cli("sample.py", f"run={run}", "dataset.name=digits", "n_samples=4", f"output_dir={tmp_path}/out")
    assert done.returncode == 0, done.stderr


NAMES = ("README.md", "docs/command_line.md", "docs/drawing.md", "docs/data.md")
PAGES = "".join((Path(__file__).parents[2] / name).read_text(encoding="utf-8") for name in NAMES)
PRINTED = map(str.strip, re.findall(r"^\*?`?python (sample\.py [^`#\n]*)", PAGES, re.MULTILINE))
COMMANDS = [each for each in dict.fromkeys(PRINTED) if "outputs/table" not in each]  # those are run in tests/mode


@pytest.fixture(scope="session")
def flow(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run of flow matching on digits, with labels and without."""
    folder = tmp_path_factory.mktemp("flow")
    small = ("energy.channels=[8,8,8,8]", "energy.width=8", "energy.head_width=8", "trainer.batch_size=16")
    labels = ("energy.conditional=true", "energy.no_label=true", "objective.label_dropping=0.1")
    quick = ("evaluator=none", "optimized_metric=null", "logger.mode=disabled", "trainer.max_steps=3", "device=cpu")
    given = ["train.py", "experiment=flow/digits", *small, *labels, *quick, "sampling.n_steps=5"]
    done = warm.run([*given, f"hydra.run.dir={folder}/run"], environment(), folder, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_pages_run(command: str, cli: Cli, trained: Path, flow: Path, tmp_path: Path) -> None:
    """As printed, on runs that are there, with chains of at most 20 steps."""
    flows = "label=" in command or "sampling" in command or "fashion_mnist" in command
    words = [
        re.sub(
            r"outputs/\w+/<[^>]*>",
            str(flow if flows else trained),
            re.sub(r"^(n_steps|.*\.n_steps)=\d+$", r"\1=20", word),
        )
        for word in shlex.split(command)[1:]
    ]
    done = cli("sample.py", *words, f"output_dir={tmp_path}/drawn", "logger.mode=disabled")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "drawn").glob("*.*"))


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) >= 11


def test_rows_of_a_table_come_in_own_units_under_its_header(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file, run = tmp_path / "x.csv", tmp_path / "run"
    rows = [f"{a:.2f};{b};{kind};{'north' if a > 0 else 'south'}" for a, b, kind in zip(
        rng.normal(size=80), rng.integers(10, 90, 80), rng.choice(["red", "blue"], 80), strict=True
    )]  # fmt: skip
    file.write_text("\n".join(["height, m;age;colour;where", *rows]).replace(".", ","))
    chosen = ("dataset=table", f"dataset.path={file}", "dataset.label_column=where", "energy.conditional=true")
    done = cli("train.py", *chosen, *SMALL, "trainer.image_every_steps=3", f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    assert "classes   north, south\n" in done.stdout
    assert Image.open(run / "samples" / "step_00000003.png").width > 500
    for folder in ("with", "other", "without"):
        done = cli("sample.py", f"run={run}", "n_samples=9", "seed=1", "label=[1,0]", f"output_dir={tmp_path}/{folder}")
        assert done.returncode == 0, done.stderr
        assert ("other points than those the run was trained with" in done.stdout) == (folder == "other")
        assert f"{tmp_path}/{folder}/samples.csv" in done.stdout
        assert Image.open(tmp_path / folder / "samples.png").width > 500
        if folder == "with":
            file.write_text("\n".join(["height, m;age;colour;where", *rows[:-9]]).replace(".", ","))
        else:
            file.unlink(missing_ok=True)  # then the data are not there
    text = (tmp_path / "with" / "samples.csv").read_text()
    assert text.splitlines()[0] == (tmp_path / "without" / "samples.csv").read_text().splitlines()[0]
    frame = polars.read_csv(text.encode())
    assert frame.columns == ["height, m", "age", "colour", "where"]
    assert frame.dtypes == [polars.Float64, polars.Int64, polars.String, polars.String]
    assert frame["where"].to_list() == (["south", "north"] * 5)[:9]
    assert set(frame["colour"]) <= {"red", "blue"}
    drawn, units = np.load(tmp_path / "with" / "samples.npz"), load_run(run).parts["dataset"].units
    assert units.decode(torch.from_numpy(drawn["x"])).equals(frame.drop("where"))
