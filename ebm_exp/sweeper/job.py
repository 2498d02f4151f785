"""One job of a sweep, in the process that a launcher gave it: claimed, begun or gone on with, its output in its log."""

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import Timeout

from ebm_exp.config.errors import UserError
from ebm_exp.config.override import key_of
from ebm_exp.config.run_config import refuse_links
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.plan import differences
from ebm_exp.terminal import Screen

_CLAIM = 2.0  # seconds; who only looks at a lock holds it for less
WORKER = "EBM_SWEEP_WORKER"


def worker_name() -> str:
    """This process, as the worker of a sweep."""
    return f"{socket.gethostname()}-{os.getpid()}"


def run(
    sweep: SweepDirectory,
    number: int,
    config: Mapping[str, Any],
    overrides: list[str],
    write_hydra: Callable[[Path], None],
    train: Callable[[dict[str, Any]], Any],
) -> float | None:
    """Train one job unless another process has it or has finished it.

    Args:
        sweep: whose job it is.
        number: names it.
        config: resolved.
        overrides: all of the job's.
        write_hydra: writes ``.hydra`` into the folder.
        train: gets the config, with ``resume`` where the job goes on, and returns the outcome.

    Returns:
        Its best value of the optimized metric.

    Raises:
        SystemExit: when a signal came and the sweep runs in this process: it ends too.
        Exception: what the training raised; summary.json says it too.
    """
    worker = os.environ.get(WORKER, "")
    elsewhere = worker != worker_name()
    if elsewhere and threading.current_thread() is threading.main_thread():
        for each in (signal.SIGINT, signal.SIGTERM):  # outside of training: the worker repeats it
            signal.signal(each, signal.SIG_IGN)
    if not config.get("trust"):
        refuse_links(sweep.path, "hydra.sweep.dir", "sweep", (".locks", f".locks/{number}.lock", "journal.log"))
        refuse_links(sweep.run(number).path, "hydra.sweep.dir", "sweep")
    try:
        claim = sweep.lock(str(number)).acquire(timeout=_CLAIM)
    except Timeout:
        return None
    with claim:
        if is_stopping(sweep, worker):
            return None
        done, resume = _prepare(sweep, number, config)
        if done is not None:
            return done.get("value")
        keys = set(sweep.record().get("keys", ()))
        folder = sweep.run(number).path
        if not resume:
            write_hydra(folder)
        sweep.claim(number, tuple(each for each in overrides if key_of(each) in keys), config)
        with _output_into(folder / "train.log"):
            outcome = _train(sweep, number, train, dict(config) | {"resume": str(folder) if resume else None})
    if outcome.signal is not None and not elsewhere:
        sys.exit(128 + outcome.signal)
    return outcome.best["value"] if outcome.best else None


def stop(sweep: SweepDirectory, worker: str) -> None:
    """Let no further job of a worker begin, wherever it runs."""
    _flag(sweep, worker).touch()


def is_stopping(sweep: SweepDirectory, worker: str) -> bool:
    """Whether the jobs of a worker are to end."""
    return _flag(sweep, worker).exists()


def _flag(sweep: SweepDirectory, worker: str) -> Path:
    return sweep.path / ".locks" / f"{worker}.stop"


def _prepare(sweep: SweepDirectory, number: int, config: Mapping[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """The best of a job that is finished already, or None and whether it goes on from a checkpoint."""
    folder, job = sweep.run(number).path, sweep.job(number)
    if job is None:
        _clear(folder)
    elif job.state in ("failed", "diverged", "unreadable") or differences(job.config, config):
        _set_aside(folder)
    elif job.state in ("finished", "pruned"):
        return job.best, False
    elif job.run.checkpoint_steps():
        return None, True
    else:
        _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return None, False


def _clear(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)


def _set_aside(folder: Path) -> None:
    """What a job was before it is done anew is kept beside it."""
    i = 1
    while (aside := folder.with_name(f"{folder.name}.old{i if i > 1 else ''}")).exists():
        i += 1
    folder.rename(aside)


def _train(sweep: SweepDirectory, number: int, train: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> Any:
    directory = sweep.run(number)
    try:
        return train(config)
    except Exception as error:
        if isinstance(error, UserError):
            print(error, file=sys.stderr)
        else:
            traceback.print_exc()
        if directory.summary().get("state") != "failed":
            reason = "; ".join(str(error).splitlines())
            named = reason if isinstance(error, UserError) else f"{type(error).__name__}: {reason}"
            directory.write_summary(directory.summary() | {"state": "failed", "reason": named})
        raise


@contextlib.contextmanager
def _output_into(path: Path) -> Iterator[None]:
    """All that is printed, warned and logged goes into a file."""
    handler, root = None, logging.getLogger()
    before = root.handlers[:], root.level
    with Screen(path.open("ab"), encoding="utf-8", line_buffering=True) as file:
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        try:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                yield
        finally:
            root.handlers[:] = before[0]
            root.setLevel(before[1])
