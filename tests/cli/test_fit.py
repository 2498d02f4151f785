"""``ebm_exp.fit``: the run of a command, of an array, in a process that goes on."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ebm_exp import fit
from ebm_exp.cli.array import hand_over
from ebm_exp.config.errors import UserError
from ebm_exp.run import load_run
from tests.warm import ROOT, SMALL, Warm, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]
Script = Callable[..., subprocess.CompletedProcess[str]]
BEGINS = f"""
import json, os, signal, sys, threading, time
import numpy as np
import ebm_exp
from ebm_exp.config.errors import UserError
os.chdir({{here!r}})
SMALL = {list(SMALL)!r}
x = np.random.default_rng(0).normal(size=(200, 3))
"""


@pytest.fixture
def script(warm: Warm, tmp_path: Path) -> Script:
    """Runs Python in a process of its own, below tmp_path."""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "script.py"
        file.write_text(BEGINS.format(here=str(tmp_path)) + text)
        done = warm.run([str(file)], environment(), tmp_path, 120)
        assert done.returncode == 0, done.stderr
        return done

    return run


def states(run: Path) -> list[object]:
    """Of the newest checkpoint."""
    (file,) = sorted((run / "checkpoints").glob("step_*.pt"))[-1:]
    state = torch.load(file, weights_only=True)
    return [state[name] for name in ("parts", "ema", "meter", "best", "rows")]


def test_equals_the_command_bit_for_bit(cli: Cli, script: Script, tmp_path: Path) -> None:
    done = script("""
images, y = np.random.default_rng(1).integers(0, 17, (60, 8, 8)).astype(float), np.arange(60) % 3
np.save("x.npy", x), np.savez("images.npz", x=images, y=y)
ebm_exp.fit(x, *SMALL, "hydra.run.dir=rows")
run = ebm_exp.fit(images, y, *SMALL, "hydra.run.dir=images", "dataset.dequantize=true")
print(json.dumps([run.step, list(run.draw(5).x.shape)]))
""")
    assert json.loads(done.stdout.splitlines()[-1]) == [3, [5, 1, 8, 8]]
    rows = ("dataset=table", f"dataset.path={tmp_path}/x.npy", f"hydra.run.dir={tmp_path}/rows_too")
    images = ("dataset=image_array", f"dataset.path={tmp_path}/images.npz", f"hydra.run.dir={tmp_path}/images_too")
    for name, words in (("rows", rows), ("images", (*images, "dataset.dequantize=true"))):
        assert cli("train.py", *SMALL, *words).returncode == 0
        torch.testing.assert_close(states(tmp_path / name), states(tmp_path / f"{name}_too"), rtol=0, atol=0)
        ours, theirs = (tmp_path / name, tmp_path / f"{name}_too")
        files = [{each.relative_to(run).as_posix() for each in run.rglob("*")} for run in (ours, theirs)]
        assert files[0] - files[1] == {"data.npy" if name == "rows" else "data.npz"}
        assert files[1] <= files[0]
        said, told = (json.loads((run / "summary.json").read_text()) for run in (ours, theirs))
        assert said.keys() == told.keys()
        assert said["data"] == told["data"]
    command = json.loads((tmp_path / "rows" / "summary.json").read_text())["command"]
    assert command.startswith(f"python train.py hydra.run.dir=rows dataset=table dataset.path={tmp_path}/rows/data.npy")


def test_the_process_is_left_as_it_was(script: Script, tmp_path: Path) -> None:
    """Called twice, from a thread, beside a Hydra of somebody else."""
    done = script("""
import logging
import hydra
import polars  # its import sets a variable of the environment
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import getbase
root, heard = logging.getLogger(), []
class Heard(logging.Handler):
    def emit(self, record):
        heard.append(record)
root.addHandler(Heard())
os.makedirs("theirs")
with hydra.initialize_config_dir(os.path.abspath("theirs"), version_base="1.2"):
    def look():
        handlers = [*root.handlers, *logging.getLogger("ebm_exp").handlers, root.level]
        signals = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        return [GlobalHydra.instance().hydra, HydraConfig.instance().cfg, getbase(), handlers, signals, os.getcwd(),
                list(sys.argv), dict(os.environ), sys.stdout, logging.getLogger("ebm_exp").level]
    before = look()
    steps = [ebm_exp.fit(x, *SMALL).step, ebm_exp.fit(x.astype(np.float32), *SMALL, "deterministic=true").step]
    import torch
    torch.set_default_dtype(torch.float64)
    with torch.inference_mode():
        steps.append(ebm_exp.fit(x, *SMALL, "hydra.run.dir=inference").step)
    assert torch.get_default_dtype() == torch.float64
    torch.set_default_dtype(torch.float32)
    thread = threading.Thread(target=lambda: steps.append(ebm_exp.fit(x, *SMALL, "hydra.run.dir=thread").step))
    thread.start(), thread.join()
    told = []
    for words in (["trainer.max_stepz=3"], ["trainer.max_steps=-3"], ["sampler=nuts"], ["-m", "seed=1,2"],
                  ["dataset=digits"], ["dataset.path=y.npy"], ["trainer.batch_size=500"], ["hydra.run.dir=thread"]):
        try:
            ebm_exp.fit(x, *words, "logger.mode=disabled")
        except UserError as error:
            told.append(str(error).splitlines()[0])
    after = look()
    same = [a == b for a, b in zip(before, after)]
    print(json.dumps([steps, same, len(heard), told, len(os.listdir("outputs/table"))]))
""")
    steps, same, n_heard, told, n_runs = json.loads(done.stdout.splitlines()[-1])
    assert steps == [3, 3, 3, 3]
    assert same == [True] * len(same)
    assert n_heard == 0
    assert n_runs == 2
    begins = (
        *("trainer.max_stepz: unknown key; nearest is max_steps", "trainer.max_steps: must be > 0, got -3"),
        *("sampler: there is no 'nuts'", "-m: fit trains one run; train.py takes this"),
        "dataset: must be one that reads an array, table or image_array, got digits",
        "dataset.path: is where the array is kept; fit(None, …) reads a file",
        *("trainer: batch_size must be at most 180", "hydra.run.dir: thread holds a run already"),
    )
    for said, begin in zip(told, begins, strict=True):
        assert said.startswith(begin)


def test_stops_goes_on_and_moves(cli: Cli, script: Script, tmp_path: Path) -> None:
    """An interrupt ends it with a checkpoint; the run is whole wherever it lies, and its array with it."""
    done = script("""
def interrupt():
    while not os.path.exists("run/checkpoints/step_00000010.pt"):
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
words = ["trainer.checkpoint_every_steps=10", "trainer.max_steps=100000"]
run = ebm_exp.fit(x, *SMALL, *words, "hydra.run.dir=run")
print(json.dumps([run.step, run.directory.summary()["state"]]))
""")
    step, state = json.loads(done.stdout.splitlines()[-1])
    assert 10 <= step < 100_000
    assert state == "stopped"
    assert 'go on          ebm_exp.fit(None, "resume=run")' in done.stdout
    shutil.move(tmp_path / "run", tmp_path / "moved")
    done = script(f"""
run = ebm_exp.fit(None, "resume=moved", "trainer.max_steps={step + 2}")
run = ebm_exp.fit(x, "resume=moved", "trainer.max_steps={step + 3}")
told = []
for other in (x + 1, x[:, :2], np.zeros((9, 4, 4))):
    try:
        ebm_exp.fit(other, "resume=moved", "trainer.max_steps={step + 9}")
    except UserError as error:
        told.append(str(error))
print(json.dumps([run.step, len(run.parts["dataset"].train()), told]))
""")
    at, n, told = json.loads(done.stdout.splitlines()[-1])
    assert (at, n) == (step + 3, 180)
    assert told == [f"x: {tmp_path}/moved/data.npy holds another array; without x the run reads that one"] * 3
    assert "dataset.path" not in done.stdout
    drawn = cli("sample.py", f"run={tmp_path}/moved", "n_samples=4", f"output_dir={tmp_path}/drawn")
    assert drawn.returncode == 0, drawn.stderr
    evaluated = cli("evaluate.py", f"run={tmp_path}/moved", "evaluator=mmd", "evaluator.mmd.n_samples=16")
    assert evaluated.returncode == 0, evaluated.stderr


def test_an_array_too_large_to_be_kept_is_named_and_handed_over_again(script: Script, tmp_path: Path) -> None:
    done = script("""
import ebm_exp.cli.fit
ebm_exp.cli.fit.LARGEST = 100
run = ebm_exp.fit(x, *SMALL, "hydra.run.dir=run")
told = [len(run.parts["dataset"].train())]
try:
    ebm_exp.fit(None, "resume=run", "trainer.max_steps=5")
except UserError as error:
    told.append(str(error))
told.append(ebm_exp.fit(x, "resume=run", "trainer.max_steps=5").step)
try:
    ebm_exp.fit(x[::-1], "resume=run", "trainer.max_steps=6")
except UserError as error:
    told.append(str(error))
print(json.dumps([*told, os.path.exists("run/data.npy"), ebm_exp.load_run("run").draw(3).x.shape[0]]))
""")
    n, missing, step, other, kept, drawn = json.loads(done.stdout.splitlines()[-1])
    assert (n, step, kept, drawn) == (180, 5, False, 3)
    assert missing.startswith(f"dataset: path: {tmp_path}/run/data.npy is not there")
    assert 'hand it again: ebm_exp.fit(x, "resume=' in missing
    assert other.startswith("dataset: is not the one that the run began with")


def test_what_diverges_and_what_is_stopped_before_anything_raise(script: Script) -> None:
    done = script("""
from ebm_exp.guard import DivergedError
words = ["trainer.max_steps=40", "optimizer=sgd", "optimizer.lr=1e30", "trainer.gradient_norm_clip=null"]
told = []
try:
    ebm_exp.fit(x, *SMALL, *words, "hydra.run.dir=run")
except DivergedError as error:
    told += [str(error), *error.__notes__]
from ebm_exp.dataset import table
def interrupted(*_):
    raise KeyboardInterrupt
table.read_cells = interrupted
try:
    ebm_exp.fit(x, *SMALL, "hydra.run.dir=other")
except KeyboardInterrupt:
    told.append(os.path.exists("other"))
print(json.dumps(told))
""")
    text, note, left = json.loads(done.stdout.splitlines()[-1])
    assert "step" in text
    assert "checkpoint='diverged'" in note
    assert left is False


def test_the_import_is_light() -> None:
    code = "import sys, ebm_exp; print({'torch', 'hydra', 'numpy', 'polars'} & set(sys.modules), ebm_exp.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "set() ['LoadedRun', '__version__', 'fit', 'load_run']\n"


def test_what_is_no_array_is_named(unchecked: None) -> None:
    for y, overrides, said in (
        (None, ({"trainer.max_steps": 5},), "overrides: must be texts like 'trainer.max_steps=500', got dict"),
        ([0, 1], (), "y: are the classes of x, and there is no x"),
    ):
        with pytest.raises(UserError, match=said):
            fit(None, y, *overrides)
    for x, y, said in (
        ("x.csv", None, "x: must be an array, got text"),
        (["a", "b"], None, "x: must be an array of numbers"),
        (np.zeros((4, 2)), np.zeros(3), r"y: must be \[4\]"),
        (np.zeros((4, 2)), [None] * 4, r"y: must be \[4\]"),
        (3.0, None, "x: must be an array of numbers"),
    ):
        with pytest.raises(UserError, match=said):
            hand_over(x, y)
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    assert hand_over(images, ["a", "b", "a", "b"]).file == "data.npz"
    assert hand_over(torch.zeros(4, 2, dtype=torch.bfloat16)).content.dtype == np.float32


def test_load_run_reads_its_own_array(trained: Path, tmp_path: Path) -> None:
    """A run whose data lie elsewhere reads them there, whatever file it holds."""
    run = shutil.copytree(trained, tmp_path / "run")
    np.save(run / "data.npy", np.zeros((3, 2)))
    assert load_run(run).config["dataset"].get("path") is None
