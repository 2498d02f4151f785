"""Start some processes of one script as ``torchrun`` does: ``python tests/ranks.py N script [word …]``.

Each has its rank in the environment, the first one holds the store in which they meet. When one fails, the others are
asked to end; the exit code is the first that was not 0. With ``EBM_KILL=rank:file`` that rank is killed, without a
word, once the file is there.
"""

import os
import runpy
import signal
import socket
import sys
import time
from pathlib import Path


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return int(some.getsockname()[1])


def start(n: int) -> dict[int, int] | None:
    """Fork n processes; None in one of them, in their parent the rank of each pid."""
    os.environ |= {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = {}
    for rank in range(n):
        pid = os.fork()
        if pid == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            return None
        started[pid] = rank
    return started


def wait(started: dict[int, int]) -> int:
    """Wait for all; what torchrun does when one fails."""
    rank, _, file = os.environ.get("EBM_KILL", "").partition(":")
    failed = 0
    while started:
        if file and Path(file).exists():
            os.kill(next(pid for pid, each in started.items() if each == int(rank)), signal.SIGKILL)
            file = ""
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(0.01)
            continue
        started.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if code and not failed:
            failed = code
            for other in started:
                os.kill(other, signal.SIGTERM)
    return failed


if __name__ == "__main__":
    words = sys.argv[1:]
    started = start(int(words[0]))
    if started is None:
        sys.argv = words[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        sys.exit(wait(started))
