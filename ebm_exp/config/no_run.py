"""What a path is that is no run directory, and what to type instead.

It is looked at as data (names, and values of small JSON files) and needs no torch, so that the answer is quick.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ebm_exp.config.errors import UserError
from ebm_exp.files import read_mapping
from ebm_exp.shell import override
from ebm_exp.text import finite, number

_OUTPUTS = Path("outputs")
_CALLS = ("draws", "evaluations")  # folders of a run whose own folders hold a config, too
_CHECKPOINT = re.compile(r"(?:step_)?(\d+|diverged)\.pt")
_WANDB = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(\w+)|wandb|latest-run")


def is_run(path: Path) -> bool:
    """Whether a folder is one that ``train.py`` has written."""
    return (path / ".hydra" / "config.yaml").is_file()


def is_sweep(path: str | Path) -> bool:
    """Whether a folder is that of a sweep (see ``ebm_exp.sweep.directory``)."""
    return (Path(path) / "sweep.json").is_file()


def refuse_no_run(run: str | Path, key: str = "run", several: bool = False) -> None:
    """Refuse a path that is no run directory, saying what it is and what to type.

    Args:
        run: the path.
        key: the command-line key that gave it, for the message.
        several: whether the command takes several runs.

    Raises:
        UserError: in one line.
    """
    path = Path(run)
    if is_run(path):
        return
    if not path.exists():
        raise UserError(f"{key}: {run} is not there{_nearest(path, key)}")
    raise UserError(f"{key}: {run} is not a run directory{_describe(path, key, several)}")


def refuse_call(run: str | Path, config: Mapping[str, Any], key: str = "run") -> None:
    """Refuse a folder that ``sample.py`` or ``evaluate.py`` has written, by the config that it holds.

    Raises:
        UserError: naming the run that it was made of.
    """
    if isinstance(made_of := config.get("run"), str) and "output_dir" in config:
        what = f"{key}: {run} is not a run directory but what was made of one"
        raise UserError(f"{what}; type {override(key, made_of)}")


def _describe(path: Path, key: str, several: bool) -> str:
    inside = next((up for up in _above(path) if is_run(up) and up.parent.name not in _CALLS), None)
    if inside is not None:
        return _inside(path, inside, key)
    if is_sweep(path):
        return f" but a sweep of {_count(list(_jobs(path)), 'job')}; {_job_to_type(path, key)}"
    sweep = next((up for up in _above(path) if is_sweep(up)), None)
    if sweep is not None:
        what = " yet: this job of a sweep has not begun" if path.name.isdecimal() else " but in the folder of a sweep"
        return f"{what}; {_job_to_type(sweep, key)}"
    record = next((match for each in (path, *_above(path)) if (match := _WANDB.fullmatch(each.name))), None)
    if record is not None:
        return f" but W&B's record of {_recorded(record[1], key)}"
    if path.is_file():
        return " but a file; a run is a folder, as train.py has written it"
    if (n := len(_runs_below(path))) > 0:
        every = f"; all of them: {override(key, path / '*')}" if several and any(map(is_run, path.iterdir())) else ""
        return f" but a folder that holds {_count(range(n), 'run')}{_newest_to_type(path, key)}{every}"
    return " (it has no .hydra/config.yaml)"


def _inside(path: Path, run: Path, key: str) -> str:
    step = _CHECKPOINT.fullmatch(path.name)
    if step is not None and path.is_file():
        which = f" checkpoint={step[1].lstrip('0') or 0}" if key == "run" else ""
        return f" but a checkpoint of one; type {override(key, run)}{which}"
    return f" but a {'file' if path.is_file() else 'folder'} of one; type {override(key, run)}"


def _recorded(run_id: str | None, key: str) -> str:
    """The run that W&B knows by an id, where it lies under outputs."""
    of_wandb = ((run, read_mapping(run / "wandb.json")) for run in _runs_below(_OUTPUTS))
    found = next((run for run, said in of_wandb if run_id is not None and said.get("id") == run_id), None)
    return f"one; runs lie under {_OUTPUTS}" if found is None else f"one; type {override(key, found)}"


def _above(path: Path) -> Iterator[Path]:
    """The folders that a path lies in, as they would be typed."""
    for up in list(Path(os.path.abspath(path)).parents)[:4]:
        yield up if path.is_absolute() else Path(os.path.relpath(up))


def _jobs(sweep: Path) -> Iterator[Path]:
    folders = (folder for folder in sweep.iterdir() if folder.name.isdecimal() and folder.is_dir())
    yield from sorted(folders, key=lambda folder: int(folder.name))


def _job_to_type(sweep: Path, key: str) -> str:
    """The job that a user of this key may mean: the best one; to go on, one that has not finished."""
    begun = [(job, read_mapping(job / "summary.json")) for job in _jobs(sweep) if is_run(job)]
    left = [job for job, summary in begun if summary.get("state") in ("running", "stopped")]
    if key == "resume":
        one = f"; one job: {override(key, left[0])}" if left else ""
        return f"the command that began it goes on with it{one}"
    scored = []
    for job, summary in begun:
        best = summary.get("best")
        best = best if isinstance(best, Mapping) else {}
        value = finite(best.get("value"))
        if value is not None and summary.get("state") == "finished":
            scored.append(
                (-value if best.get("better") == "higher" else value, job, f"{best.get('metric')} {number(value)}")
            )
    if scored:
        _, job, score = min(scored, key=lambda each: each[0])
        return f"its best job: {override(key, job)} ({score})"
    return f"a job of it: {override(key, begun[0][0])}" if begun else "none of its jobs has begun"


def _runs_below(path: Path) -> list[Path]:
    """Runs and sweeps in a folder, or in one of its folders, the newest last."""
    folders = [folder for folder in _folders(path) if not is_run(folder) and not is_sweep(folder)]
    found = [each for folder in (path, *folders) for each in _folders(folder) if is_run(each) or is_sweep(each)]
    return sorted(found, key=lambda each: (each.name, each.stat().st_mtime))


def _folders(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir() and not each.name.startswith(".")] if path.is_dir() else []


def _newest_to_type(path: Path, key: str) -> str:
    runs = [each for each in _runs_below(path) if is_run(each)]
    return f"; the newest there: {override(key, runs[-1])}" if runs else ""


def _nearest(path: Path, key: str) -> str:
    """What a misspelt path may mean: the nearest name where it goes astray, or a run of that name under outputs."""
    if is_sweep(path.parent) and path.name.isdecimal():
        return f": the sweep has no such job; {_job_to_type(path.parent, key)}"
    parts = path.parts
    n = next((n for n in range(len(parts) - 1, 0, -1) if Path(*parts[:n]).is_dir()), 0)
    there = Path(*parts[:n])
    match = difflib.get_close_matches(parts[n], [each.name for each in _folders(there)], n=1) if parts else []
    known = [there / match[0]] if match else [folder / path for folder in _folders(_OUTPUTS) if is_run(folder / path)]
    if not known:
        return _newest_to_type(there, key)
    whole = known[0].joinpath(*parts[n + 1 :]) if match else known[0]
    return f"; nearest is {override(key, whole if whole.exists() else known[0])}"


def _count(items: Any, what: str) -> str:
    return f"{len(items)} {what}{'s' * (len(items) != 1)}"
