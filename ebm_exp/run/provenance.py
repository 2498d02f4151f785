"""What trains a run now: the process, the command, and the state of the code."""

import hashlib
import os
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from ebm_exp.files import replacing
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import typed

_LARGEST = 2**24  # bytes of a diff that is kept
_MOST = 100  # names of untracked files


def describe(directory: RunDirectory) -> dict[str, Any]:
    """For summary.json: ``describe_process``, and ``code``, see ``describe_code``."""
    return describe_process() | {"code": describe_code(directory)}


def describe_process() -> dict[str, Any]:
    """``pid``, ``host``, ``started`` and ``command`` of this process."""
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": started, "command": shlex.join(typed())}


def describe_code(directory: RunDirectory) -> dict[str, Any] | None:
    """The git checkout that this package lies in, else that of the working directory; None without one.

    ``commit``; ``diff``: the file of the run with what is changed since, None if nothing is; ``untracked``: files that
    git does not know. A diff is named by its content, so that that of an earlier session stays.
    """
    for folder in (Path(__file__).parent, Path.cwd()):
        commit = _git(folder, "rev-parse", "HEAD")
        if commit is None:
            continue
        diff = _git(folder, "diff", "HEAD", "--binary")
        untracked = _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", ":/")
        return {
            "commit": commit.decode().strip(),
            "diff": _keep(directory, diff) if diff else None,
            "untracked": (untracked or b"").decode(errors="replace").splitlines()[:_MOST],
        }
    return None


def _keep(directory: RunDirectory, diff: bytes) -> str:
    if len(diff) > _LARGEST:
        return f"{len(diff):,} bytes, not kept"
    file = directory.diff(hashlib.sha256(diff).hexdigest()[:12])
    try:
        with replacing(file) as kept:
            kept.write(diff)
    except OSError as error:  # no reason not to train
        return f"{len(diff):,} bytes, not kept ({error.strerror})"
    return file.name


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git says; None where it is no checkout, or there is no git."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
