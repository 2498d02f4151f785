"""One process trains a run."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from ebm_exp.config.errors import UserError
from ebm_exp.run.directory import RunDirectory


@contextmanager
def claimed(directory: RunDirectory, key: str) -> Iterator[None]:
    """Hold a run while it is trained; what a dead process held is free.

    Args:
        directory: the run's.
        key: the command-line key that gave the directory, for the message.

    Raises:
        UserError: naming the process that holds it.
    """
    directory.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory.path / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        said = directory.summary()
        by = f"process {said['pid']} on {said['host']}, since {said['started']}" if "started" in said else "a process"
        raise UserError(f"{key}: {directory.path} is being trained, by {by}") from None
    try:
        yield
    finally:
        lock.release()
