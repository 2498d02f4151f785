"""Files that are broken, values that are absurd: one line, the exit code of a user's error, and what was good stays."""

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ebm_exp.config.errors import UserError, out_of_memory
from ebm_exp.dataset import ImageFolder, Vision
from ebm_exp.dataset.decode import LARGEST, decoded
from ebm_exp.run import load_run
from ebm_exp.run.checkpoint import read_state
from ebm_exp.run.directory import RunDirectory
from tests.warm import SMALL, begins_with

Cli = Callable[..., subprocess.CompletedProcess[str]]
CPU = torch.device("cpu")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a refused command says: at most three lines."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 3
    return done.stderr


@pytest.mark.parametrize("text", ["{", '"text"', "[1]", "\x00", "[" * 100_000])
def test_a_damaged_summary(text: str, run: Path) -> None:
    (run / "summary.json").write_text(text)
    with pytest.raises(UserError, match=r"^run: .*/run/summary\.json "):
        load_run(run, device="cpu")


WRONG = [
    ({"best": 5}, r"best: must be a mapping, got 5"),
    ({"best": {"value": []}}, "best.value"),
    ({"metrics": []}, r"metrics: .*valid dictionary.*got \[\]"),
    ({"attempts": 3}, "attempts: .*valid list"),
    ({"attempts": [{"attempt": 1, "step": 0, "changed": {"seed": 1}}]}, "attempts.0.changed.seed"),
    ({"symptoms": {"a": 1}}, "symptoms: .*valid list"),
    ({"symptoms": [5]}, r"symptoms\.0"),
    ({"temperature": "hot"}, "temperature: .*valid number"),
    ({"data": [1]}, "data: "),
    ({"data": {"event_shape": [0]}}, r"data\.event_shape\.0: .*greater than 0"),
    ({"data": {"units": {"kind": "stripes"}}}, r"data\.units\.kind: .*'points', 'levels', 'table' or 'gray_code'"),
    ({"data": {"units": {"kind": "table", "columns": [{"name": "a", "v": [0], "w": [0, 1]}]}}}, r"data\.units\.col"),
    ({"step": True}, "step: .*valid integer"),
    ({"wandb_id": ""}, "wandb_id: "),
    ({"state": 1}, "state: .*valid string"),
]


@pytest.mark.parametrize(("content", "words"), WRONG)
def test_a_summary_of_another_kind(content: dict, words: str, run: Path) -> None:
    (run / "summary.json").write_text(json.dumps({"format": 3} | content))
    for read in (lambda: load_run(run, device="cpu"), lambda: read_state(RunDirectory(run), key="run")):
        with pytest.raises(UserError, match=rf"^run: .*/run/summary\.json is no summary of a run \({words}"):
            read()


def test_a_run_goes_on_without_a_damaged_summary(cli: Cli, run: Path) -> None:
    (run / "summary.json").write_text("{")
    for script, key in (("train.py", "resume"), ("sample.py", "run"), ("evaluate.py", "run")):
        assert said(cli(script, f"{key}={run}")).startswith(f"{key}: {run}/summary.json ")
    (run / "summary.json").unlink()
    done = cli("train.py", f"resume={run}", "trainer.max_steps=4")
    assert done.returncode == 0, done.stderr


def test_torn_rows_are_none(cli: Cli, run: Path) -> None:
    rows = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text("\x00\n[1]\n{}\n" + rows + '{"step": 3, "tra')
    assert [row["step"] for row in load_run(run, device="cpu").metrics()] == [3]
    assert cli("train.py", f"resume={run}", "trainer.max_steps=4").returncode == 0
    assert [row["step"] for row in load_run(run, device="cpu").metrics()] == [3, 4]
    assert (run / "metrics.jsonl").read_text().startswith(rows)


def test_damaged_checkpoints(cli: Cli, run: Path) -> None:
    assert cli("train.py", f"resume={run}", "trainer.max_steps=4").returncode == 0
    first, second = sorted((run / "checkpoints").iterdir())
    second.write_bytes(second.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"step_00000004\.pt: cannot be read as a checkpoint.*; step 3 is used"):
        assert load_run(run, device="cpu").step == 3
    first.write_bytes(b"")
    line = f"{run} has 2 checkpoints, and none of them can be read\n"
    for script, key in (("train.py", "resume"), ("sample.py", "run")):
        assert said(cli(script, f"{key}={run}")) == f"{key}: {line}"
    done = cli("train.py", *SMALL, f"init_from={run}", f"hydra.run.dir={run.parent}/new")
    assert said(done) == f"init_from: {line}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["parts"]["energy"].update({"layers.0.weight": torch.zeros(3, 3)}), "does not fit"),
        (lambda s: s["parts"]["energy"].pop("layers.0.weight"), "does not fit"),
        (lambda s: s["parts"].update(energy=[1]), "does not fit"),
        (lambda s: s["parts"].update(optimizer={"state": {}}), "does not fit"),
        (lambda s: s["parts"].update(buffer={}), "does not fit"),
        (lambda s: s["parts"]["buffer"]["_extra_state"].update(n_stored="x"), "does not fit"),
        (lambda s: s["parts"]["optimizer"]["state"][0].update(exp_avg="x"), "exp_avg of the optimizer is str"),
        (lambda s: s["parts"]["optimizer"]["state"][0].update(exp_avg=torch.zeros(3)), "exp_avg of the optimizer is"),
        (lambda s: s["parts"]["optimizer"]["state"][0].update(step=-1), "step of the optimizer is"),
        (lambda s: s.update(best={"value": 1}), "best.metric: field required"),
        (lambda s: s.update(best=5), "best of the checkpoint is int"),
        (lambda s: s.update(unevaluated=torch.zeros(2)), "unevaluated: input should be a valid boolean"),
        (lambda s: s.update(wandb_id=[1]), "wandb_id of the checkpoint is list"),
        (lambda s: s["parts"].update(guard={}), "does not fit"),
        (lambda s: s["ema"].update(energy={}), "does not fit"),
        (lambda s: s.update(meter=3), "does not fit"),
        (lambda s: s.update(step="3"), "step of the checkpoint is str"),
        (lambda s: s.update(parts=[]), "parts of the checkpoint is list"),
        (lambda s: s.pop("ema"), "the checkpoint lacks ema"),
        (lambda s: s.update(format=1), "has format 1, this version reads 3"),
    ],
)
def test_a_checkpoint_of_another_kind(change: Callable[[dict], object], words: str, cli: Cli, run: Path) -> None:
    file = run / "checkpoints" / "step_00000003.pt"
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "train.log"}
    assert words in said(cli("train.py", f"resume={run}", "trainer.max_steps=4"))
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "train.log"}
    assert {path for path in before if after.get(path) != before[path]} <= {run / "summary.json"}


def test_a_checkpoint_that_unfolds_is_not_unfolded(run: Path) -> None:
    file = run / "checkpoints" / "step_00000003.pt"
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with (
        pytest.warns(UserWarning, match="it is compressed, torch's are not"),
        pytest.raises(UserError, match="none of"),
    ):
        load_run(run, device="cpu")


def test_an_archive_that_names_one_part_again_and_again_is_not_read(run: Path) -> None:
    """Six megabytes that would be read for minutes: bounded by what the file can hold."""
    file = run / "checkpoints" / "step_00000003.pt"
    part = zipfile.ZipInfo("data")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(part, bytes(2**20))
        archive.filelist += [part] * 60_000
    began = time.monotonic()
    with pytest.warns(UserWarning, match="lies where another part"), pytest.raises(UserError, match="none of"):
        load_run(run, device="cpu")
    assert time.monotonic() - began < 20  # half a second alone


def test_a_full_disk_costs_nothing_that_was_good(cli: Cli, tmp_path: Path) -> None:
    """A limit on the size of files: metrics fit, checkpoints do not."""
    run = tmp_path / "run"
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20 * 1024, 20 * 1024))"
    done = cli(begins_with(limit, tmp_path), "train.py", *SMALL, f"hydra.run.dir={run}")
    assert done.returncode == 2, done.stderr
    saved = run / "checkpoints" / "step_00000003.pt"
    assert done.stderr.splitlines()[-1] == f"{saved}: file too large; another place: hydra.run.dir=…"
    assert "Traceback" not in done.stderr
    assert [path.name for path in (run / "checkpoints").iterdir()] == []
    assert '"state": "failed"' in (run / "summary.json").read_text()


# Root may write everywhere, without its capabilities it may not (capset of no capability, version 3).
POWERLESS = """
import ctypes
assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="root may write everywhere")
@pytest.mark.parametrize(
    ("script", "typed", "words"),
    [
        (
            "train.py",
            ("resume={}", "trainer.max_steps=4"),
            "; a run goes on where it lies; a copy of it",
        ),
        ("train.py", (*SMALL, "hydra.run.dir={}/new"), "; another place: hydra.run.dir=…"),
        ("train.py", (*SMALL, "hydra.run.dir={}"), "holds a run already"),
        ("sample.py", ("run={}",), "; another place: output_dir=…"),
        ("sample.py", ("run={}", "output_dir={}/../drawn"), None),
    ],
)
def test_a_read_only_run(
    script: str, typed: tuple[str, ...], words: str | None, cli: Cli, run: Path, tmp_path: Path
) -> None:
    for path in (run, *run.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    done = cli(begins_with(POWERLESS, tmp_path), script, *(a.format(run) for a in typed))
    for path in (run, *run.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    if words is None:
        assert done.returncode == 0, done.stderr
        assert (run.parent / "drawn" / "samples.npz").is_file()
    else:
        assert words in said(done)


def picture(file: Path, size: int = 8) -> Path:
    Image.fromarray(np.full((size, size), 100, np.uint8)).save(file)
    return file


def test_damaged_caches_are_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [str(picture(tmp_path / f"{i}.png")) for i in range(3)]
    whole = decoded(files, 8, None, tmp_path / "cache", 1).clone()
    (cache,) = (tmp_path / "cache").iterdir()
    for content in (b"", cache.read_bytes()[:100], b"\x93NUMPY" + b"x" * 300):
        cache.write_bytes(content)
        assert torch.equal(decoded(files, 8, None, tmp_path / "cache", 1), whole)
        assert "is damaged" in caplog.messages[-1]


def test_an_image_that_unfolds_is_not_unfolded(tmp_path: Path) -> None:
    side = int(LARGEST**0.5) + 1
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 2**20
    with pytest.raises(ValueError, match=r"root: .*a\.png cannot be read as an image \(8,193×8,193 pixels, at most"):
        ImageFolder("x", CPU, str(tmp_path), cache_dir=str(tmp_path / "cache"))


def test_an_absurd_size_of_images(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match=r"^size: 3 images of 100,000,000×100,000,000 take 30,000.0 TB in .* are free"):
        ImageFolder("x", CPU, str(tmp_path), size=10**8, channels=None, cache_dir=str(tmp_path / "cache"))


IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(n: int, side: int, there: int) -> bytes:
    return struct.pack(">BBBBIII", 0, 0, 8, 3, n, side, side) + bytes(there)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx(2**31, 60_000, 100), "it says that it holds|would take"),
        (idx(10, 28, 100), "it says that it holds 7,840 bytes, and does not"),
        (idx(1, 2, 5000), "it says that it holds 4 bytes, and does not"),
        (b"", "its first bytes are none of an IDX file"),
        (struct.pack(">BBBBI", 0, 0, 13, 1, 10), "it must hold bytes in 3 dimensions, it says kind 13 in 1"),
        (struct.pack(">BBBB", 0, 0, 8, 3), "unpack requires a buffer"),
    ],
)
def test_idx_files_hold_what_they_say(packed: bool, content: bytes, words: str, tmp_path: Path) -> None:
    for name in IDX:
        data = gzip.compress(content) if packed else content
        (tmp_path / f"{name}{'.gz' if packed else ''}").write_bytes(data)
    with pytest.raises(ValueError, match=f"root: .*train-images-idx3-ubyte.* is no IDX file, or damaged .*({words})"):
        Vision("MNIST", "mnist", CPU, str(tmp_path), download=False)


def test_a_file_of_zeros_is_not_unpacked_for_ever(tmp_path: Path) -> None:
    content = idx(1, 2, 0) + bytes(2**28)  # a quarter of a gigabyte, packed into 0.3 MB
    for name in IDX:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    with pytest.raises(ValueError, match="it says that it holds 4 bytes, and does not"):
        Vision("MNIST", "mnist", CPU, str(tmp_path), download=False)


def test_pipes_and_devices_are_no_data(tmp_path: Path, cli: Cli) -> None:
    os.mkfifo(tmp_path / "points.csv")
    assert said(cli("train.py", "dataset=table", "energy=mlp", f"dataset.path={tmp_path}/points.csv")).startswith(
        "dataset: path: "
    )
    (tmp_path / "images").mkdir()
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.png")
    os.mkfifo(tmp_path / "images" / "x.png")
    ImageFolder("x", CPU, str(tmp_path / "images"), cache_dir=str(tmp_path / "cache"))  # it is none of them


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore"),
            "CUDA out of memory. Tried to all",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "DefaultCPUAllocator",
        ),
        (MemoryError(), ""),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
    ],
)
def test_memory_that_runs_out_is_told(error: Exception, line: str | None) -> None:
    told = out_of_memory(error)
    assert (told is None) == (line is None)
    assert told is None or told.startswith(f"out of memory: {line}")
    assert told is None or "\n" not in told


@pytest.mark.parametrize(
    ("script", "typed", "words"),
    [
        ("train.py", ("buffer.size=1000000000000",), "buffer: size: would take 256.0 TB of memory, "),
        ("train.py", ("dataset=two_moons", "dataset.n_train=1000000000000"), "dataset: n_train: would take 24.0 TB"),
        ("train.py", ("dataset=synthetic", "dataset.n_train=1000000000000"), "dataset: n_train: would take 768.0 TB"),
        ("train.py", ("dataset=synthetic", "dataset.shape=[3,1000000,1000000]"), "dataset: n_train: would take "),
        ("train.py", ("energy.widths=[16,1000000000000]",), "out of memory: "),
        ("sample.py", ("n_samples=1000000000000",), "n_samples: would take 512.0 TB of memory, "),
    ],
)  # fmt: skip
def test_absurd_sizes(script: str, typed: tuple[str, ...], words: str, cli: Cli, trained: Path, tmp_path: Path) -> None:
    given = [a for a in SMALL if a.partition("=")[0] not in {t.partition("=")[0] for t in typed}]
    own = {
        "train.py": (*given, f"hydra.run.dir={tmp_path}/run"),
        "sample.py": (f"run={trained}", f"output_dir={tmp_path}/o"),
    }
    line = said(cli(script, *own[script], *typed))
    assert line.startswith(words), line
    assert ("are free on the cpu" in line) or line.startswith("out of memory")
