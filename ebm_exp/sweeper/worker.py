"""One process that works on a sweep: it launches jobs, tells of each when it ends, and stops with them."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict, read_write

from ebm_exp.report import tell_report
from ebm_exp.shell import typed
from ebm_exp.sweep.directory import ENDED, SweepDirectory
from ebm_exp.sweep.results import line, read, table
from ebm_exp.sweeper import job as one_job
from ebm_exp.sweeper.command import Command
from ebm_exp.sweeper.plan import Planned, moved, place
from ebm_exp.trainer.stop import say

_LOOK_EVERY = 0.2  # seconds
_AT_ONCE = getattr(signal, "SIGUSR1", signal.SIGTERM)  # which a job counts beside the SIGTERM that came before
_BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
_UNBOUNDED = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"


class Worker:
    """Launches jobs of a sweep, and tells of each when it ends, wherever it runs.

    Args:
        sweep: the sweep.
        launcher: Hydra's; the basic one runs a job in this process.
        settings: ``hydra.launcher``.
        n: jobs in all, for the lines; 0: it is not known before.
        keys: what varies.

    Attributes:
        at_once: jobs that the launcher runs side by side.
        batch: jobs that it is to get together: the basic one each alone, one that would start all at once no more than
            there are cores; None: all.
    """

    def __init__(self, sweep: SweepDirectory, launcher: Launcher, settings: Any, n: int, keys: Sequence[str]) -> None:
        self.sweep = sweep
        self.launcher = launcher
        self.name = one_job.worker_name()
        name = f"{type(launcher).__module__}.{type(launcher).__qualname__}"
        self.is_basic = name == _BASIC
        self.at_once = 1 if self.is_basic else _at_once(settings)
        self.batch = self.at_once if self.is_basic or name == _UNBOUNDED else None
        self.signal: int | None = None  # the one that came first
        self._n_signals = 0
        self.has_launched = False
        self._tell = partial(line, n=n, keys=keys)
        self._out = sys.stdout  # jobs of this process redirect it
        self._seen: dict[int, Any] = {}  # what was there of each job whose end is waited for: no news
        self._lock = threading.RLock()
        self._over = threading.Event()

    def launch(self, jobs: Sequence[Planned]) -> None:
        """Run jobs together, as far as the launcher is concerned, and wait for their end."""
        self.has_launched = True
        self._seen |= {job.number: self._stamp(job.number) for job in jobs}
        overrides = [[*job.arguments, *place(self.sweep, job.number, self.name)] for job in jobs]
        self.launcher.launch(overrides, initial_job_idx=jobs[0].number)
        self._look()
        if self.signal is not None:  # it came while jobs ran elsewhere
            raise SystemExit(128 + self.signal)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """While jobs are launched: a signal stops those that run, after a checkpoint, and lets no other begin."""
        before = {each: signal.signal(each, self._stop) for each in (signal.SIGINT, signal.SIGTERM)}
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            self._over.set()
            watch.join()
            self._look()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.is_basic:  # while a job trains in this process, the signal is the trainer's
            raise SystemExit(128 + number)
        self._n_signals += 1
        if self._n_signals == 1:
            self.signal = number
            say("stopping: jobs end after their step; once more: at once")
            one_job.stop(self.sweep, self.name)
            self._forward(signal.SIGTERM)
        elif self._n_signals > 2 or not self._forward(_AT_ONCE):
            raise SystemExit(128 + number)

    def _forward(self, what: int) -> int:
        """Send a signal to the running jobs of this machine; returns how many there are.

        Outside of training they do not hear SIGTERM yet, and in training only once: so it may be repeated.
        """
        n = 0
        for number in sorted(self._seen):
            pid, host = self.sweep.process(number)
            if pid is not None and host == socket.gethostname() and self.sweep.is_locked(str(number)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, what)
                    n += 1
        return n

    def _watch(self) -> None:
        ticks = 0
        while not self._over.wait(_LOOK_EVERY):
            self._look()
            ticks += 1
            if ticks % 5 == 0 and self.signal is not None:
                self._forward(signal.SIGTERM)

    def _look(self) -> None:
        """Print a line for each job that has ended since the last look."""
        with self._lock:
            for number in sorted(self._seen):
                if self._stamp(number) == self._seen[number]:
                    continue
                job = self.sweep.job(number)
                if job is not None and job.summary.get("state") in ENDED:
                    del self._seen[number]
                    print(self._tell(job), file=self._out, flush=True)

    def _stamp(self, number: int) -> Any:
        try:
            stat = self.sweep.run(number).summary_file.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino


@contextlib.contextmanager
def at_work(command: Command, sweep: SweepDirectory, n: int, what: str, left: Callable[[], int]) -> Iterator[Worker]:
    """A worker on a sweep, by the launcher that the user chose; at the end the table, and after a signal how to go on.

    Args:
        command: what was typed.
        sweep: the sweep.
        n: jobs in all.
        what: they are, ``jobs`` or ``trials``.
        left: how many have not been done.
    """
    master = command.master
    with read_write(master.hydra), open_dict(master.hydra):
        master.hydra.sweep.dir = str(sweep.path)
    launcher = Plugins.instance().instantiate_launcher(
        hydra_context=command.context, task_function=command.task, config=master
    )
    of = 0 if what == "trials" else n  # a search may need more trials than it is to complete
    worker = Worker(sweep, launcher, master.hydra.launcher, of, sweep.record()["keys"])
    try:
        with worker.working():
            yield worker
    except SystemExit:
        tell_end(sweep, anew=True)
        print(f"stopped: {(n := left())} {what.removesuffix('s') if n == 1 else what} left; go on with", flush=True)
        print(shlex.join(each for each in typed() if each != "sweep=new"), flush=True)
        raise
    tell_end(sweep, anew=worker.has_launched)


def tell_start(command: Command, sweep: SweepDirectory, is_there: bool, n: int, what: str) -> None:
    """The first lines: which directory, whether it goes on, and a line on each place that has moved."""
    ended = sum(job.state in ENDED - {"stopped"} for job in sweep.jobs()) if is_there else 0
    so_far = f"goes on, {ended} of {n} {what} done; sweep=new starts another" if is_there else f"new, {n} {what}"
    print("\n".join([f"sweep   {sweep.path} ({so_far})", *moved(sweep.record(), command.arguments)]), flush=True)


def tell_end(sweep: SweepDirectory, anew: bool) -> None:
    """What came of it, in a table; then the report.

    Args:
        sweep: the sweep.
        anew: write the report although there is one.
    """
    print("\n".join(["", *table(read(sweep), shutil.get_terminal_size((100, 24)).columns)]))
    if anew or not sweep.report.is_file():
        tell_report(sweep.path, "report  ")
    else:
        print(f"report  {sweep.report}", flush=True)


def leave(states: Iterable[str]) -> None:
    """Exit as the jobs did.

    Raises:
        SystemExit: 1 if one failed, 3 if one diverged.
    """
    ended = set(states)
    code = 1 if "failed" in ended else 3 if "diverged" in ended else 0
    if code:
        sys.exit(code)


def _at_once(settings: Any) -> int:
    """Jobs side by side, by the settings of a launcher: as many as it says, else as this machine has cores for."""
    cores = os.cpu_count() or 1
    said = settings.get("n_jobs") or settings.get("array_parallelism")
    if said is not None:
        return int(said) if said > 0 else cores
    return max(1, cores // (settings.get("cpus_per_task") or 1))
