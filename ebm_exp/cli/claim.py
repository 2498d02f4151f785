"""The folder of a command: a name that no other start has, or the one that was typed, held from before Hydra writes the
first file in it until the process ends.

So a second start in it, mistyped or meant, changes nothing of a run that is just beginning.
"""

import os
import shutil
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ebm_exp.cli.line import CommandLine
from ebm_exp.config.errors import UserError
from ebm_exp.config.run_config import refuse_links
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import override

_WRITTEN = (  # what a command would follow, or append to, in a folder that somebody prepared
    *(".hydra", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", ".lock"),
    *("train.log", "sample.log", "evaluate.log", "metrics.jsonl", "summary.json", "samples", "checkpoints"),
)
_STARTING = frozenset({".hydra", ".lock", "train.log", "sample.log", "evaluate.log"})  # before anything has begun
_STARTS = Path("outputs/.starts")  # one empty folder for each start of the last minute
_STALE = 60.0  # seconds
_LOOK_EVERY, _TELL_AFTER = 0.1, 3.0  # seconds


def claim_stamp() -> str:
    """The time that names this start's directory, with a number behind it if another start has taken this second."""
    _STARTS.mkdir(parents=True, exist_ok=True)
    for started in _STARTS.iterdir():
        try:
            if time.time() - started.stat().st_mtime > _STALE:
                started.rmdir()
        except OSError:  # another start was quicker
            continue
    now, i = time.strftime("%Y-%m-%d_%H-%M-%S"), 0
    while True:
        stamp = f"{now}_{i}" if i else now
        try:
            os.mkdir(_STARTS / stamp)
        except FileExistsError:
            i += 1
        else:
            return stamp


def claim(line: CommandLine, hydra: Any, anew: bool) -> AbstractContextManager[Any]:
    """Hold the folder that Hydra is about to write into; where another process is starting in it, wait for its word.

    This start is refused once the other has begun its work, and goes on where that was refused or has died. A look
    holds nothing, and the jobs of a sweep are held one by one.

    Args:
        line: the command line, mended.
        hydra: Hydra's part of the composed config.
        anew: what a run left that did not get to a checkpoint may go (``resume=auto``).

    Returns:
        The claim, released where the context ends.

    Raises:
        UserError: when the folder is held or used, or no reader would find what Hydra writes.
    """
    if line.is_looking:
        return nullcontext()
    goes_on = line.value("resume") is not None
    key = "resume" if goes_on or anew else "hydra.run.dir" if line.program == "train" else "output_dir"
    _refuse_elsewhere(hydra, has_config=goes_on)
    if hydra.mode.name == "MULTIRUN":
        return nullcontext()
    directory = RunDirectory(str(hydra.run.dir))
    if not goes_on and not line.trusts:
        refuse_links(directory.path, key, "run", _WRITTEN)
    if not (goes_on or anew):
        _refuse_used(directory.path, key)  # before anything is left in it
    held = _hold(directory, key)
    if anew and not directory.checkpoint_steps():
        directory.clear()
    if not goes_on:
        _refuse_used(directory.path, key)  # another may have been quicker
    return held


def _refuse_used(folder: Path, key: str) -> None:
    if _has_begun(folder):
        holds = "files already" if key == "output_dir" else f"a run already; go on with {override('resume', folder)}"
        raise UserError(f"{key}: {folder} holds {holds}")


def _refuse_elsewhere(hydra: Any, has_config: bool) -> None:
    """Refuse what would have Hydra write a run's config, or the whole run, where no command looks for it.

    Args:
        hydra: Hydra's part of the composed config.
        has_config: the run has one already, and none is to be written.

    Raises:
        UserError: naming the key.
    """
    folder = hydra.output_subdir
    if folder != ".hydra" and not (has_config and folder is None):
        said = "null" if folder is None else folder
        raise UserError(f"hydra.output_subdir: must be .hydra, where a run is read from, got {said}")
    if hydra.job.chdir:
        raise UserError("hydra.job.chdir: must be false: what is typed and printed are paths from here")


def discard(folder: Path) -> None:
    """Remove a folder in which nothing has begun but what Hydra wrote on the way."""
    if folder.is_dir() and _names(folder) <= _STARTING:
        shutil.rmtree(folder)


def _hold(directory: RunDirectory, key: str) -> AbstractContextManager[Any]:
    began, told = time.monotonic(), False
    while True:
        try:
            return directory.claim(key)
        except UserError:
            if _has_begun(directory.path):
                raise
        if not told and time.monotonic() - began > _TELL_AFTER:
            told = True
            print(
                f"{key}: another process is starting in {directory.path}; waiting for it", file=sys.stderr, flush=True
            )
        time.sleep(_LOOK_EVERY)


def _has_begun(folder: Path) -> bool:
    """Whether a folder is that of a command that got beyond its checks."""
    names = _names(folder)
    return bool({".hydra", "summary.json"} & names) and not names <= _STARTING


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
