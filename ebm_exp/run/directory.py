"""The files of one run. Nothing here needs torch, so that a report over many runs opens in a second."""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ebm_exp.config.errors import UserError
from ebm_exp.config.run_config import FORMAT
from ebm_exp.config.summary import SummaryError, read_summary
from ebm_exp.files import TEMPORARY, replace_text
from ebm_exp.run.metrics import read_rows
from ebm_exp.shell import override

_NAME = re.compile(r"step_(\d{8,})\.pt")
_DIFF = re.compile(r"code_\w+\.diff")
_LEFT = frozenset({
    *(".hydra", ".lock", "train.log", "summary.json", "metrics.jsonl", "report.html", "wandb.json"),
    *("checkpoints", "samples", "profile.json", "profile.txt"),
})  # fmt: skip


class DamagedError(UserError, ValueError):
    """A file of a run that says nothing any more."""


class RunDirectory:
    """One run directory.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metrics_file = self.path / "metrics.jsonl"
        self.summary_file = self.path / "summary.json"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"

    def create(self) -> None:
        """Claim the directory for a new run.

        Raises:
            UserError: when a run is there already.
        """
        self.samples.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        try:
            self.summary_file.open("x").close()
        except FileExistsError:
            go_on = override("resume", self.path)
            raise UserError(f"hydra.run.dir: {self.path} holds a run already; go on with {go_on}") from None

    @contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """Hold the run while it is trained, by one process; what a dead one held is free.

        Args:
            key: the command-line key that gave the directory, for the message.

        Raises:
            UserError: naming the process that holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            said = self.summary()
            known = f"process {said['pid']} on {said['host']}, since {said['started']}" if "started" in said else None
            raise UserError(f"{key}: {self.path} is being trained, by {known or 'a process'}") from None
        try:
            yield
        finally:
            lock.release()

    def clear(self) -> None:
        """Remove what a run left that did not get to a checkpoint, so that it begins anew.

        Raises:
            UserError: when there is more in the directory than that.
        """
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        if others := sorted(name for name in names - _LEFT if not (_DIFF.fullmatch(name) or TEMPORARY.fullmatch(name))):
            raise UserError(f"hydra.run.dir: {self.path} holds {others[0]}, which is of no run; name another folder")
        for name in names - {".lock"}:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace summary.json as a whole, so that a reader never meets half of one."""
        text = json.dumps({"format": FORMAT} | dict(summary), indent=2, default=str)
        replace_text(self.summary_file, text + "\n")

    def summary(self) -> dict[str, Any]:
        """summary.json, empty while a run has not begun to write it.

        Raises:
            DamagedError: when it is damaged.
        """
        try:
            return read_summary(self.summary_file)
        except SummaryError:
            raise DamagedError(f"{self.summary_file} is damaged; moved away, the run goes on without it") from None

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, in the order they were written; a step may have several. A torn line is none."""
        return [row for _, row in read_rows(self.metrics_file)]

    def checkpoint(self, step: int) -> Path:
        """The checkpoint of one step, e.g. ``step_00001000.pt``: names sort as steps do."""
        return self.checkpoints / f"step_{step:08d}.pt"

    def image(self, kind: str, step: int) -> Path:
        """An image of one step, e.g. ``samples/step_00001000.png``."""
        return self.samples / f"{kind}_{step:08d}.png"

    def diff(self, digest: str) -> Path:
        """What a session's code differs by from its commit, e.g. ``code_0123456789ab.diff``."""
        return self.path / f"code_{digest}.diff"

    def checkpoint_steps(self) -> list[int]:
        """Steps that have a checkpoint, in their order; temporary files do not count."""
        if not self.checkpoints.is_dir():
            return []
        found = [(_NAME.fullmatch(path.name), path) for path in self.checkpoints.iterdir()]
        return sorted(int(match[1]) for match, path in found if match and path.is_file())


def is_sweep(path: str | Path) -> bool:
    """Whether a directory is that of a sweep (see ``ebm_exp.sweep.directory``)."""
    return (Path(path) / "sweep.json").is_file()
