"""The files of one run. Nothing here needs torch, so that a report over many runs opens in a second."""

import re
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ebm_exp.config.errors import UserError
from ebm_exp.config.run_config import FORMAT
from ebm_exp.config.summary import SummaryError, read_summary
from ebm_exp.files import ARRAYS, TEMPORARY, write_json
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

    def claim(self, key: str) -> AbstractContextManager[Any]:
        """Hold the run for this process, which may hold it already; what a dead one held is free.

        Args:
            key: the command-line key that gave the directory, for the message.

        Returns:
            The claim, which ends with the context, or with the process.

        Raises:
            UserError: naming the process that holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(self.path.resolve() / ".lock", is_singleton=True).acquire(blocking=False)
        except Timeout:
            said = self.summary()
            known = f"process {said['pid']} on {said['host']}, since {said['started']}" if "started" in said else None
            raise UserError(f"{key}: {self.path} is being trained, by {known or 'a process'}") from None

    def clear(self) -> None:
        """Remove what a run left that did not get to a checkpoint, so that it begins anew. Data stay.

        Raises:
            UserError: when there is more in the directory than that.
        """
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        if others := sorted(
            name for name in names - {*_LEFT, *ARRAYS} if not (_DIFF.fullmatch(name) or TEMPORARY.fullmatch(name))
        ):
            raise UserError(f"hydra.run.dir: {self.path} holds {others[0]}, which is of no run; name another folder")
        for name in names:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace summary.json as a whole, so that a reader never meets half of one."""
        write_json(self.summary_file, {"format": FORMAT} | dict(summary))

    def summary(self) -> dict[str, Any]:
        """summary.json, empty while a run has not begun to write it.

        Raises:
            DamagedError: when it is damaged.
        """
        try:
            return read_summary(self.summary_file)
        except SummaryError:
            raise DamagedError(f"{self.summary_file} is damaged; moved away, the run goes on without it") from None

    def refuse_export(self, key: str) -> None:
        """Refuse a run that was handed on without what a training goes on with.

        Raises:
            UserError: saying what can be done with it.
        """
        if self.summary().get("exported"):
            begin = override("init_from", self.path)
            raise UserError(f"{key}: {self.path} is an export, of averaged weights and config; start anew: {begin}")

    def metrics(self, most: int | None = None) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, in the order they were written; a step may have several. A torn line is none.

        Args:
            most: so many bytes of the file are read; None: all.
        """
        return [row for _, row in read_rows(self.metrics_file, most)]

    def checkpoint(self, step: int) -> Path:
        """The checkpoint of one step, e.g. ``step_00001000.pt``: names sort as steps do."""
        return self.checkpoints / f"step_{step:08d}.pt"

    def find_checkpoint(self, which: str | int, key: str = "run") -> Path:
        """The file of a checkpoint, by names alone.

        Args:
            which: ``latest``, ``best``, ``diverged`` (the step that showed it) or a step.
            key: the command-line key that gave the directory, for the message.

        Raises:
            UserError: when there is none; of a run that diverged with what there is.
        """
        steps, summary, diverged = self.checkpoint_steps(), self.summary(), self.checkpoints / "diverged.pt"
        best = summary.get("best")
        named = {"latest": steps[-1] if steps else None, "best": best.get("step") if isinstance(best, dict) else None}
        step = named.get(which) if isinstance(which, str) else which
        path = self.checkpoint(step) if isinstance(step, int) else diverged if which == "diverged" else None
        if path is not None and path.is_file():
            return path
        if isinstance(which, int):
            has = ", ".join(map(str, steps)) or "none"
            raise UserError(f"{key}: {self.path} has no checkpoint of step {which}; it has {has}")
        told = ""
        if diverged.is_file() and not steps:
            see = "checkpoint=diverged looks into that step: " if key == "run" else ""
            told = f"; it diverged at step {summary.get('step', '?')}, before its first; {see}{diverged}"
        raise UserError(f"{key}: {self.path} has no {which} checkpoint{told}")

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
