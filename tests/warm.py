"""A process that has imported what a run imports, and forks: a script starts in milliseconds instead of seconds.

``Warm`` is the side of the tests; the file run as a script is the parent, which runs nothing itself: each script gets
a child of its own, as fresh as a process just started, apart from its imports and its seed of Python's hashes.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import importlib.util
import json
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
# Beside ebm_exp, what a run imports late; none of them starts a thread, and a process with threads must not fork.
IMPORTED = "torch torch._dynamo torchvision hydra omegaconf pydantic sklearn.datasets torchmetrics PIL.Image wandb "
IMPORTED += (
    "sklearn.datasets.data sklearn.datasets.descr matplotlib.backends.backend_agg PIL.features wandb.apis.public "
)
IMPORTED += "wandb.sdk.lib.gitlib wandb.sdk.launch wandb.sdk.launch.inputs.internal torch.utils.serialization.config"

SMALL = (  # a run of a second
    *("energy.widths=[16]", "sampler.n_steps=3", "sampling.n_steps=5", "trainer.batch_size=16", "buffer.size=128"),
    "trainer.image_samples=4",
    *("evaluator=none", "logger.mode=disabled", "trainer.max_steps=3", "device=cpu"),
)


class Child:
    """A script that runs, with the part of ``subprocess.Popen`` that tests use."""

    def __init__(self, parent: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
        assert parent.stdin is not None
        self.parent, self.args = parent, request["argv"]
        parent.stdin.write(json.dumps(request).encode() + b"\n")
        self.pid = self._read()
        self.returncode: int | None = None

    def _read(self) -> int:
        assert self.parent.stdout is not None
        line = self.parent.stdout.readline()
        assert line, "the warm parent ended"
        return int(line)

    def poll(self) -> int | None:
        return self._wait(0)

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self.parent.stdout], [], [], timeout)[0]:
            self.returncode = self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        code = self._wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def environment() -> dict[str, str]:
    """What a script inherits from the tests: nothing that W&B or Hydra would read."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "HYDRA_"))}


class Warm:
    """Starts scripts as children of the parent, one at a time; the parent itself starts with the first of them."""

    def __init__(self) -> None:
        self._environment = environment()
        self._parent: subprocess.Popen[bytes] | None = None
        self._child: Child | None = None

    def start(self, arguments: list[str], env: dict[str, str], stdout: Path | None, stderr: Path | None) -> Child:
        """Run a script, its path from the project's root or absolute, with its arguments; its output into two files.

        None for a file: a pipe that nobody reads.
        """
        changed = {k for k, _ in env.items() ^ self._environment.items() if k.startswith("PYTHON")}
        assert changed <= {"PYTHONPATH"}, f"{changed}: read when Python starts, which takes a real process"
        if self._parent is None:  # no buffers: what is in a pipe can be waited for
            pipes = {"bufsize": 0, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            command = [sys.executable, __file__]
            single = {"OMP_NUM_THREADS": "1"}  # BLAS starts its threads on import, and then nothing can fork
            self._parent = subprocess.Popen(command, env=self._environment | single, start_new_session=True, **pipes)
        self.stop()
        output = {"stdout": stdout and str(stdout), "stderr": stderr and str(stderr)}
        request = {"argv": arguments, "env": env} | output
        self._child = Child(self._parent, request)
        return self._child

    def run(
        self, arguments: list[str], env: dict[str, str], folder: Path, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As ``subprocess.run(arguments, capture_output=True, text=True)``; ``folder`` is for its output."""
        out, err = folder / "stdout.txt", folder / "stderr.txt"
        child = self.start(arguments, env, out, err)
        try:
            code = child.wait(timeout)
        finally:
            self.stop()
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def stop(self) -> None:
        """Kill the script that runs, if one does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def close(self) -> None:
        self.stop()
        if self._parent is not None:
            self._parent.communicate()


@functools.cache
def warm_parent() -> Warm:
    """The one of this process of tests."""
    parent = Warm()
    atexit.register(parent.close)
    return parent


def begins_with(first: str, folder: Path) -> str:
    """A ``train.py`` or ``sample.py`` that does something first: what a shell would, before it starts one."""
    script = folder / "begins.py"
    script.write_text(f"""{first}
import sys
sys.argv.pop(0)
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
""")
    return str(script)


_BESIDE = """
import os, pathlib, sys, time
if os.fork() == 0:
    for number, name in ((1, "other"), (2, "errors")):
        os.dup2(os.open(f"{HERE}/{name}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv += {MORE}
    time.sleep({PAUSE})
else:
    import atexit
    atexit.register(lambda: pathlib.Path("{HERE}/code").write_text(str(os.waitstatus_to_exitcode(os.wait()[1]))))
"""


def begins_beside(folder: Path, pause: float, *more: str) -> str:
    """A ``train.py`` that is started twice: a second time after a pause, with more words; its exit code in ``code``."""
    first = _BESIDE.replace("{HERE}", str(folder)).replace("{PAUSE}", str(pause)).replace("{MORE}", repr(list(more)))
    return begins_with(first, folder)


def leet_inspect(file: Path) -> str:
    """What ``wandb leet inspect --json`` prints of an offline run."""
    main = Path(importlib.util.find_spec("wandb").origin).parent / "__main__.py"
    with tempfile.TemporaryDirectory() as folder:
        done = warm_parent().run([str(main), "leet", "inspect", "--json", str(file)], environment(), Path(folder), 60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def serve() -> str:
    """In the parent: fork for each request, tell the child's pid and how it ended. In a child: return its script."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return become(request)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    sys.exit()


def become(request: dict[str, Any]) -> str:
    """Take over all that a new process would have been given."""
    import numpy as np

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for fd, (path, mode) in enumerate(
        [(os.devnull, os.O_RDONLY), (request["stdout"], flags), (request["stderr"], flags)]
    ):
        opened = os.open(path, mode) if path else unread()
        os.dup2(opened, fd)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.path[1:1] = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in sys.path]
    os.fsync = lambda fd: None  # no test loses its machine, and a disk takes its time
    np.random.seed()  # noqa: NPY002  # what nobody seeds must not agree in two runs
    return str(ROOT / sys.argv[0])


def unread() -> int:
    """The end to write to of a pipe whose other end is closed."""
    read, write = os.pipe()
    os.close(read)
    return write


def run(script: str) -> int:
    """In a child: what Python would exit with after the script."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as exit:
        if exit.code is None or isinstance(exit.code, int):
            return exit.code or 0
        print(exit.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def end(code: int) -> NoReturn:
    """Exit as Python does, without taking down all that was imported, which takes half a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    os.chdir(ROOT)
    gc.disable()  # what is imported stays
    for name in IMPORTED.split():
        with contextlib.suppress(ImportError):  # a library's own modules may move: then its children import them
            importlib.import_module(name)
    import ebm_exp

    for module in pkgutil.walk_packages(ebm_exp.__path__, "ebm_exp."):
        importlib.import_module(module.name)
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins
    from hydra.core.singleton import Singleton

    from ebm_exp.cli.process import hasten_hydra
    from ebm_exp.config.compose import compose_run

    hasten_hydra()
    compose_run("train", SMALL)  # the parser of overrides has learnt its grammar then
    for kind in (Plugins, SourcesRegistry):  # a child looks for them anew
        del Singleton._instances[kind]
    threads = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else [""]
    assert len(threads) == 1, "an import has started a thread"
    gc.freeze()  # nor need a child look through it
    gc.enable()
    end(run(serve()))
