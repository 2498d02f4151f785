"""trackio: what a run tells it, read back from its database; and W&B beside it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.logger import About, Trackio, trackio_logger
from tests.logger.offline import inspect
from tests.warm import ROOT, Warm, environment

pytest.importorskip("trackio", reason="the extra trackio is not installed")
Train = Callable[..., subprocess.CompletedProcess[str]]
TINY = (
    *("energy.widths=[16]", "sampler.n_steps=3", "sampling.n_steps=5", "trainer.batch_size=16", "buffer.size=128"),
    *("trainer.log_every_steps=1", "trainer.evaluate_every_steps=2", "trainer.image_every_steps=2", "device=cpu"),
    *("dataset.suggest.n_samples=32", "seed=7"),
)
READ = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage as storage
project = sys.argv[1]
runs = []
for run in storage.get_run_records(project):
    rows = storage.get_logs(project, run["name"])
    config = storage.get_run_config(project, run["name"])
    runs.append({"name": run["name"], "rows": rows, "config": config})
print(json.dumps({"runs": runs, "alerts": storage.get_alerts(project)}, default=str))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where trackio keeps its runs in this test."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    return tmp_path / "trackio"


@pytest.fixture
def train(folder: Path, tmp_path: Path, warm: Warm) -> Train:
    """``train.py`` with its arguments."""
    return lambda *arguments: warm.run(["train.py", *arguments], environment(), tmp_path, 240)


def read_back(project: str = "ebm-exp") -> dict[str, Any]:
    """All runs of a project, by a process of its own: trackio looks for its folder on import."""
    done = subprocess.run([sys.executable, "-c", READ, project], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_same_numbers_and_images_as_in_the_run_directory(train: Train, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "digits" / "run"
    done = train(
        *TINY,
        "logger=both",
        "logger.mode=offline",
        "trainer.max_steps=4",
        f"hydra.run.dir={run}",
        f"logger.wandb.dir={tmp_path}",
        "logger.trackio.project=mine",
    )
    assert done.returncode == 0, done.stderr
    assert f"TRACKIO_DIR={folder} trackio show --project mine" in done.stdout
    assert "* " not in done.stdout  # it does not speak itself
    (told,) = read_back("mine")["runs"]
    assert told["name"].startswith("digits/run widths=[16] ")
    assert told["config"]["choices"]["dataset"] == "digits"
    assert told["config"]["tags"] == ["digits", "mlp"]
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    there = {row["item"]["step"]: row["item"] for row in inspect(file)["history"]}
    here: dict[int, dict[str, Any]] = {}
    for row in told["rows"]:
        here[row["step"]] = here.get(row["step"], {}) | row
    for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        for name, value in row.items():
            assert here[row["step"]][name] == there[row["step"]][name] == value
    for step in (2, 4):
        assert here[step]["samples/fresh"]["caption"] == there[step]["samples/fresh.caption"]
        assert (folder / "media" / here[step]["samples/fresh"]["file_path"]).is_file()
        assert here[step]["energy/data"]["values"] == there[step]["energy/data.values"]
    assert len(here[4]["samples/table"]["_value"]) == 16


def test_a_run_goes_on_under_its_name(train: Train, tmp_path: Path) -> None:
    own = ("logger=trackio", f"hydra.run.dir={tmp_path}/run", "trainer.image_every_steps=100")
    assert train(*TINY, *own, "trainer.max_steps=2").returncode == 0
    assert train(*TINY, *own[:1], f"hydra.run.dir={tmp_path}/other/run", "trainer.max_steps=1").returncode == 0
    done = train(f"resume={tmp_path}/run", "trainer.max_steps=4")
    assert done.returncode == 0, done.stderr
    told = {run["name"].split()[0].split("/")[-2]: run for run in read_back()["runs"]}
    assert len(told) == 2
    steps = {row["step"] for row in told[tmp_path.name]["rows"]}
    assert steps == {1, 2, 3, 4}


def test_a_run_that_diverges_leaves_an_alert_and_its_last_row(train: Train, tmp_path: Path) -> None:
    wild = ("optimizer=sgd", "optimizer.lr=1e30", "trainer.gradient_norm_clip=null", "trainer.max_steps=40")
    done = train(
        *TINY, *wild, "logger=trackio", "evaluator=none", "optimized_metric=null", f"hydra.run.dir={tmp_path}/run"
    )
    assert done.returncode in (1, 3)
    told, reason = read_back(), json.loads((tmp_path / "run" / "summary.json").read_text())["reason"]
    (alert,) = told["alerts"]
    assert (alert["text"], alert["level"]) == (reason, "error")
    file = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert file[-1]["step"] in {row["step"] for row in told["runs"][0]["rows"]}


def test_jobs_of_a_sweep_have_names_of_their_own(tmp_path: Path) -> None:
    """Which they need: trackio knows runs by their names."""
    code = """
import pathlib, sys
from ebm_exp.logger import About, Trackio
for group in ("digits/a", "digits/b"):
    run = Trackio()
    run.start(About("0 seed=1", pathlib.Path("."), group, in_sweep=True))
    run.log({"train/loss": 1.0}, 1)
    run.finish(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {run["name"] for run in read_back()["runs"]} == {"digits/a/0 seed=1", "digits/b/0 seed=1"}


def test_it_keeps_its_runs_below_outputs_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import pathlib, sys
from ebm_exp.logger import About, Trackio
run = Trackio(dir=sys.argv[1] or None)
run.start(About("x", pathlib.Path(".")))
run.log({"train/loss": 1.0}, 1)
run.finish(0)
print(*run.hint())
"""
    monkeypatch.delenv("TRACKIO_DIR")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    for folder, told in (("", "outputs/trackio"), (str(tmp_path / "a b"), "'a b'")):
        command = [sys.executable, "-c", code, folder]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
        assert done.stdout == f"TRACKIO_DIR={told} trackio show --project ebm-exp\n"
        assert list((tmp_path / told.strip("'")).glob("*.db"))


def test_nothing_of_trackio_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Any) -> None:
    import trackio

    def broken(**arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trackio, "init", broken)
    run = Trackio()
    run.start(About("x", tmp_path), "abcd1234")
    run.log({"a": 1.0}, 1)
    run.alert("it failed", "why")
    run.finish(1)
    assert run.hint() == []
    assert warnings() == ["trackio could not be started ([Errno 28] No space left on device); going on without it"]


def test_what_it_would_refuse_is_refused_before_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="project must be letters, digits, spaces, - and _, got 'a/b'"):
        Trackio(project="a/b")
    monkeypatch.setattr(trackio_logger.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"trackio is not installed; pip install '.\[trackio\]'"):
        Trackio()
    run = Trackio("disabled")
    run.start(About("x", Path(".")), "abcd1234")
    run.log({"a": 1.0}, 1)
    run.alert("t", "t")
    run.finish(0)
    assert run.id == "abcd1234"
    assert "TRACKIO_DIR" in os.environ  # untouched
