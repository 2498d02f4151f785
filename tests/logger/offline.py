"""Offline W&B runs in tests: made, and read back."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ebm_exp.logger import About, WandbRun
from tests.warm import leet_inspect

KEY = "k" * 40  # as long as W&B wants it; no test goes online
FIELDS = ("project", "entity", "run_group", "display_name", "tags", "job_type", "notes")


def inspect(file: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of an offline run by type, as ``wandb leet inspect --json`` prints them."""
    records: dict[str, list[dict[str, Any]]] = {}
    for record in map(json.loads, leet_inspect(file).splitlines()):
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def read_back(folder: Path, run_id: str) -> list[dict[str, list[dict[str, Any]]]]:
    """The records of every session of a run, the first one first."""
    return [inspect(file) for file in sorted(folder.glob(f"wandb/offline-run-*-{run_id}/*.wandb"))]


def a_minute_later(folder: Path) -> None:
    """Of the sessions so far; the names of their folders have whole seconds, and none may have that of the next."""
    for each in sorted(folder.glob("wandb/offline-run-*")):
        kind, stamp, run_id = each.name.rsplit("-", 2)
        earlier = datetime.strptime(stamp, "%Y%m%d_%H%M%S") - timedelta(minutes=1)
        each.rename(each.with_name(f"{kind}-{earlier:%Y%m%d_%H%M%S}-{run_id}"))


def about(run_dir: Path, **more: Any) -> About:
    """What a run says of itself."""
    return About(**{"name": "own name", "group": "own group", "run_dir": run_dir} | more)


def session(run: WandbRun, run_dir: Path, run_id: str | None = None, **more: Any) -> str:
    """A whole session of one row; the run's id."""
    run.start(about(run_dir, **more), run_id)
    run.log({"train/loss": 0.5}, 1)
    run.finish(0)
    assert run.id is not None
    return run.id


def identity(folder: Path, run_id: str) -> tuple[Any, ...]:
    """What the last session of a run was to W&B."""
    record = read_back(folder, run_id)[-1]["run"][0]
    return tuple(record.get(field) for field in FIELDS)
