"""The files of one sweep: ``outputs/multirun/<name>/<stamp>/``.

| file | content |
|---|---|
| ``sweep.json`` | the command, what varies, what is optimized |
| ``<number>/`` | a run directory each, and beside its files ``job.json``: its overrides and resolved config |
| ``journal.log`` | of a search: Optuna's journal |
| ``.locks/`` | a file each for jobs and workers, locked by the process that runs them |
| ``report.html`` | what came of it |
"""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from ebm_exp.config.override import pairs
from ebm_exp.files import read_mapping, write_json
from ebm_exp.run.directory import DamagedError, RunDirectory

_NAME = re.compile(r"[\w.-]{1,200}")  # of a lock: it is written in place
MOST_KEYS, _MOST = 200, 2000  # that a sweep may set in a job; texts of a list in sweep.json
ENDED = frozenset({"finished", "pruned", "diverged", "failed", "stopped"})

EMPTY: dict[str, Any] = {  # what is read of sweep.json: a list holds texts
    **{"kind": "", "name": "", "began": "", "n": 0, "complete": False},
    **{"command": [], "arguments": [], "overrides": [], "keys": [], "metrics": [], "seeds": []},
    **{"defaults": {}, "directions": {}, "space": {}, "pruner": {}},
}


class Job(NamedTuple):
    """One run of a sweep.

    Attributes:
        number: names its folder, and its trial in a search.
        run: its files.
        overrides: what the sweep sets in it, ``("seed=1", "sampler.step_size=0.5")``.
        config: its whole config, resolved.
        state: ``waiting``, ``running``, ``killed`` (it says running, and no process holds its lock), ``unreadable``, or
            how it ended: finished, stopped, pruned, diverged, failed.
        summary: what its summary.json holds.
    """

    number: int
    run: RunDirectory
    overrides: tuple[str, ...]
    config: dict[str, Any]
    state: str
    summary: dict[str, Any]

    @property
    def values(self) -> dict[str, str]:
        """What the sweep sets in it by key, as text."""
        return dict(pairs(self.overrides))

    @property
    def is_ill(self) -> bool:
        """Whether it failed or diverged."""
        return self.state in ("failed", "diverged")

    @property
    def reason(self) -> str | None:
        """Why it failed, diverged or was pruned."""
        return self.summary.get("reason")

    @property
    def why(self) -> str:
        """The first line of the reason."""
        return next(iter(str(self.reason or "").splitlines()), "")

    @property
    def best(self) -> dict[str, Any]:
        """Its best evaluation (metric, value, step, better); empty when there is none."""
        return self.summary.get("best") or {}


class SweepDirectory:
    """One sweep.

    Args:
        path: its directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.file = self.path / "sweep.json"
        self.report = self.path / "report.html"
        self.journal = self.path / "journal.log"

    def record(self) -> dict[str, Any]:
        """sweep.json, which may come from anywhere: all keys that are read of it, without what is not of its kind.

        Empty where there is none that can be read, or it is empty.
        """
        found = read_mapping(self.file)
        return {**found, **{key: _of_kind(found.get(key), empty) for key, empty in EMPTY.items()}} if found else {}

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace sweep.json as a whole."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.file, record)

    def run(self, number: int) -> RunDirectory:
        """The files of one job."""
        return RunDirectory(self.path / str(number))

    def claim(self, number: int, overrides: tuple[str, ...], config: Mapping[str, Any]) -> None:
        """Say what a job is, before it begins."""
        folder = self.path / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        process = {"pid": os.getpid(), "host": socket.gethostname()}
        write_json(folder / "job.json", {"number": number, "overrides": overrides, "config": config} | process)

    def process(self, number: int) -> tuple[int | None, str | None]:
        """Process and machine that claimed a job last."""
        said = read_mapping(self.run(number).path / "job.json")
        pid, host = said.get("pid"), said.get("host")
        is_one = isinstance(pid, int) and not isinstance(pid, bool) and pid > 1  # others name many, or none
        return (pid, host) if is_one and isinstance(host, str) else (None, None)

    def jobs(self) -> list[Job]:
        """The jobs that have begun, by their number; of one whose files are torn no more than its number is known."""
        folders = self.path.iterdir() if self.path.is_dir() else ()
        numbers = sorted(int(folder.name) for folder in folders if folder.name.isdecimal())
        return [job for job in map(self.job, numbers) if job is not None]

    def job(self, number: int) -> Job | None:
        """One job; None when it has not begun."""
        try:
            return self._read(number)
        except (OSError, ValueError):  # half of a file, or of another kind
            return Job(number, self.run(number), (), {}, "unreadable", {})

    def _read(self, number: int) -> Job | None:
        run = self.run(number)
        file = run.path / "job.json"
        if not file.is_file():
            return None
        said, summary = read_mapping(file), run.summary()
        overrides, config = said.get("overrides"), said.get("config")
        if not isinstance(config, dict) or _of_kind(overrides, []) != overrides or len(overrides) > MOST_KEYS:
            raise DamagedError(f"{file} is no record of a job; moved away, the job is done anew")
        state = summary.get("state") or "waiting"
        if state in ("running", "waiting"):
            locked = self.is_locked(str(number))
            state = "running" if locked else "killed" if state == "running" else state
        return Job(number, run, tuple(overrides), config, state, summary)

    def lock(self, name: str) -> FileLock:
        """The lock of a job (its number) or of another name; it ends with the process that holds it.

        Raises:
            ValueError: for a name that would lie elsewhere.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name of a lock: {name!r:.80}")
        folder = self.path / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    def is_locked(self, name: str) -> bool:
        """Whether a process holds a lock; looking leaves no file."""
        if not _NAME.fullmatch(name) or not (self.path / ".locks" / f"{name}.lock").exists():
            return False
        lock = self.lock(name)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return True
        lock.release()
        return False


def _of_kind(value: Any, empty: Any) -> Any:
    """The value, if it is of the kind of one that is empty; that one if not."""
    if not isinstance(value, type(empty)):
        return empty
    return [each for each in value if isinstance(each, str)][:_MOST] if isinstance(value, list) else value
