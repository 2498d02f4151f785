"""What W&B is told by whole runs: train.py, a multirun, a resume, a run that diverges, sample.py."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.run.about import checksum
from tests.logger.offline import inspect

Cli = Callable[..., subprocess.CompletedProcess[str]]
TINY = (
    *("energy.widths=[16]", "sampler.n_steps=3", "sampling.n_steps=5", "trainer.batch_size=16", "buffer.size=128"),
    *("trainer.max_steps=4", "trainer.log_every_steps=1", "trainer.evaluate_every_steps=2", "device=cpu"),
    *("trainer.image_every_steps=2", "trainer.checkpoint_every_steps=2", "dataset.suggest.n_samples=32"),
    "logger.mode=offline",
)


def records(folder: Path) -> list[dict[str, list[dict[str, Any]]]]:
    """What W&B was told by each session, in their order."""
    files = folder.glob("wandb/offline-run-*/*.wandb")
    return [inspect(file) for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]


def last_summary(record: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The summary at the end of a session."""
    told: dict[str, Any] = {}
    for each in record["summary"]:
        told |= each.get("update", {})
    return told


@pytest.fixture(scope="module")
def finished(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on digits, and what was drawn from it."""
    from tests.warm import environment

    folder = tmp_path_factory.mktemp("finished")
    own = [f"hydra.run.dir={folder}/digits/run", f"logger.dir={folder}", "seed=1"]
    done = warm.run(["train.py", *TINY, *own], environment(), folder, timeout=240)
    assert done.returncode == 0, done.stderr
    drawn = ["sample.py", f"run={folder}/digits/run", f"output_dir={folder}/drawn", "n_samples=4", "sampling.n_steps=6"]
    done = warm.run([*drawn, f"logger.dir={folder}"], environment(), folder, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_says_what_it_is(finished: Path) -> None:
    (run,) = records(finished)[0]["run"]
    name = "digits/run widths=[16] sampler.n_steps=3 sampling.n_steps=5 batch_size=16 size=128 max_steps=4"
    assert run["display_name"] == f"{name} n_samples=32 seed=1"
    assert (run["run_group"], run["tags"], run["job_type"]) == ("digits/run", ["digits", "mlp"], "train")
    config = run["config"]["update"]
    assert config["choices"]["sampler"] == "langevin"
    assert "seed=1" in config["overrides"]
    assert not {"suggest", "stand_in"} & set(config["dataset"])
    assert "units" not in config["data"]


def test_every_step_is_one_row_and_images_have_captions(finished: Path) -> None:
    history = [row["item"] for row in records(finished)[0]["history"]]
    assert [row["step"] for row in history] == [1, 2, 3, 4, 4]  # the table of samples is a row of its own
    table = history.pop()
    assert all("train/loss" in row for row in history)
    for row in (history[1], history[3]):
        assert {"eval/frechet_pixels", "energy/data.bins", "energy/negatives.values"} <= set(row)
        assert row["samples/fresh._type"] == row["samples/buffer._type"] == "image-file"
    assert history[3]["samples/fresh.caption"] == "step 4, T 0.0002, K 5 (5 steps from uniform noise)"
    assert history[3]["samples/buffer.caption"].startswith("step 4, Langevin, 3 steps; ")
    assert "T" in history[3]["samples/buffer.caption"] or "temperature" in history[3]["samples/buffer.caption"]
    assert history[1]["samples/data.caption"] == "digits"
    assert "samples/data.caption" not in history[3]  # it never changes
    assert (table["samples/table.nrows"], table["samples/table.ncols"]) == (16, 2)


def test_the_best_of_every_score_is_a_column(finished: Path) -> None:
    record, rows = records(finished)[0], (finished / "digits" / "run" / "metrics.jsonl").read_text().splitlines()
    told = last_summary(record)
    for name in ("frechet_pixels", "mmd2"):
        scores = [row[f"eval/{name}"] for row in map(json.loads, rows) if f"eval/{name}" in row]
        assert len(scores) == 2
        assert told[f"best/{name}"] == min(scores)
    assert (told["best/metric"], told["state"]) == ("eval/frechet_pixels", "finished")
    assert "alert" not in record


def test_checkpoints_are_artifacts_with_their_origin(finished: Path) -> None:
    run = finished / "digits" / "run"
    artifacts = [a for a in records(finished)[0]["artifact"] if a["type"] == "model"]
    assert {alias for a in artifacts for alias in a["aliases"]} >= {"best", "last"}
    for each in artifacts:
        told = json.loads(each["metadata"])
        assert told["sha256"] == checksum(run / "checkpoints" / told["checkpoint"])
        assert told["wandb_id"] == json.loads((run / "summary.json").read_text())["wandb_id"]
        assert ("value" in told) == ("best" in each["aliases"])


def test_what_is_drawn_says_where_it_comes_from(finished: Path) -> None:
    record, run = records(finished)[1], finished / "digits" / "run"
    (told,) = record["run"]
    assert told["display_name"] == "digits/run drawn n_samples=4 n_steps=6"
    assert (told["run_group"], told["job_type"], told["tags"]) == ("digits/run", "sample", ["digits", "mlp"])
    parent = told["config"]["update"]["parent"]
    summary = json.loads((run / "summary.json").read_text())
    assert (parent["wandb_id"], parent["step"]) == (summary["wandb_id"], 4)
    assert parent["sha256"] == checksum(run / "checkpoints" / "step_00000004.pt")
    (artifact,) = record["artifact"]
    assert artifact["type"] == "samples"
    assert {entry["path"] for entry in artifact["manifest"]["contents"]} == {"samples.npz", "samples.png"}
    assert json.loads(artifact["metadata"])["sha256"] == parent["sha256"]
    (row,) = record["history"]
    assert row["item"]["samples/grid._type"] == "image-file"


def test_a_run_in_the_plane_shows_densities_and_points(cli: Cli, tmp_path: Path) -> None:
    done = cli("train.py", *TINY, "trainer.max_steps=2", "dataset=two_moons", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    row, table = (each["item"] for each in records(tmp_path)[0]["history"][-2:])
    for name in ("density", "fresh", "buffer", "data"):
        assert row[f"samples/{name}._type"] == "image-file"
    assert table["samples/table.nrows"] == 16


def test_a_run_that_diverges_leaves_its_last_row_its_reason_and_an_alert(cli: Cli, tmp_path: Path) -> None:
    wild = ("optimizer=sgd", "optimizer.lr=1e30", "trainer.gradient_norm_clip=null", "trainer.max_steps=40")
    quiet = (
        "evaluator=none",
        "optimized_metric=null",
        "trainer.log_every_steps=10",
        "trainer.checkpoint_every_steps=3",
    )
    typed = [each for each in TINY if not each.startswith("trainer.")] + [
        "trainer.batch_size=16",
        "trainer.checkpoint_every_steps=3",
    ]
    done = cli("train.py", *typed, *wild, *quiet, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode in (1, 3), done.stderr
    (record,) = records(tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    told = last_summary(record)
    assert (told["state"], told["reason"]) == (summary["state"], summary["reason"])
    assert told["failed_step"] == summary["failed_step"]
    (alert,) = record["alert"]
    assert alert["text"] == summary["reason"]
    assert alert["title"] == f"{tmp_path}/run {summary['state']}"
    last = record["history"][-1]["item"]
    assert "NaN" in last.values() or "Infinity" in last.values()
    file = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert file[-1]["step"] == last["step"]
    assert record["exit"][0]["exit_code"] == 1


def test_jobs_of_a_multirun_and_their_resumes_are_one_group(cli: Cli, tmp_path: Path) -> None:
    sweep = tmp_path / "digits" / "stamp"
    done = cli("train.py", "-m", "seed=1,2", *TINY, f"hydra.sweep.dir={sweep}", f"logger.dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    done = cli("train.py", f"resume={sweep}/1", "trainer.max_steps=6")
    assert done.returncode == 0, done.stderr
    first, second, resumed = [record["run"][0] for record in records(tmp_path)]
    assert first["display_name"] == "0 seed=1"
    assert second["display_name"] == "1 seed=2"
    assert {run["run_group"] for run in (first, second, resumed)} == {"digits/stamp"}
    for key in ("run_id", "display_name", "tags"):
        assert resumed[key] == second[key]
    summary = json.loads((sweep / "1" / "summary.json").read_text())
    assert summary["group"] == json.loads((sweep / "0" / "summary.json").read_text())["group"]
    best = [last_summary(record)["best/frechet_pixels"] for record in records(tmp_path)[1:]]
    assert best[1] <= best[0]  # of both sessions
