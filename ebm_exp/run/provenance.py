"""What trains a run now: the process, the command, and the state of the code."""

import hashlib
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebm_exp.files import replacing
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import typed

_LARGEST = 2**24  # bytes of a diff that is kept
_MOST = 100  # names of untracked files
_OFF = {"core.fsmonitor": "false", "core.hooksPath": os.devnull, "core.sshCommand": "false"}  # programs of a repository


def describe(directory: RunDirectory) -> dict[str, Any]:
    """For summary.json: ``describe_process``, and ``code``, see ``describe_code``."""
    return describe_process() | {"code": describe_code(directory)}


def describe_process() -> dict[str, Any]:
    """``pid``, ``host``, ``started`` and ``command`` of this process."""
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": started, "command": shlex.join(typed())}


def describe_code(directory: RunDirectory) -> dict[str, Any] | None:
    """The git checkout that this package lies in; None without one. A repository that one merely stands in may be
    anybody's, and is not asked.

    ``commit``; ``diff``: the file of the run with what is changed since, None if nothing is; ``untracked``: files that
    git does not know. A diff is named by its content, so that that of an earlier session stays.
    """
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    said = _git(folder, "config", "-z", "--name-only", "--get-regexp", r"^filter\.") or b""
    filters = [name for name in said.decode(errors="surrogateescape").split("\0") if name]
    off = {name: "false" if name.endswith(".required") else "" for name in filters}
    given = ("--binary", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
    diff = _git(folder, "diff", "HEAD", *given, settings=off)
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", ":/")
    return {
        "commit": commit.decode().strip(),
        "diff": _keep(directory, diff) if diff else None,
        "untracked": (untracked or b"").decode(errors="replace").splitlines()[:_MOST],
    }


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


def _git(folder: Path, *arguments: str, settings: Mapping[str, str] = _OFF) -> bytes | None:
    """What git says, without any program that the repository names; None where it is no checkout, or there is no git.

    Args:
        folder: in the checkout.
        arguments: of git; a diff leaves out external ones, and submodules, which have settings of their own.
        settings: beside those that are always off: filters, by their names.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}  # objects that lie elsewhere stay there
    for i, (name, value) in enumerate((pairs := {**_OFF, **settings}).items()):
        env |= {f"GIT_CONFIG_KEY_{i}": name, f"GIT_CONFIG_VALUE_{i}": value}
    env["GIT_CONFIG_COUNT"] = str(len(pairs))
    command = ["git", "--no-pager", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False, env=env)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
