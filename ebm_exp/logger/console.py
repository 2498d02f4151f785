"""Progress for a person: a live line on a terminal and in a notebook, plain lines anywhere else."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as RichProgress

from ebm_exp.terminal import console

_PLAIN_EVERY = 5.0  # seconds between lines when there is no terminal
_CELL_EVERY = 0.5  # seconds between two lines in the same place of a notebook
_UNKNOWN = object()
_SOON = 5.0  # seconds after the first step at which the next one tells the time to the end; a longer first one tells it


def to_file(text: str, level: int = logging.INFO) -> None:
    """A line of the run's log (train.log) that the terminal has in its own way."""
    record = logging.LogRecord("ebm_exp", level, "", 0, text, None, None)
    for logger in (logging.getLogger("ebm_exp"), logging.getLogger()):
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)


class Progress:
    """Where a training stands: step, steps/s, time left, loss and energy gap.

    Args:
        max_steps: the last step.
        enabled: show the live line; None: when stdout is a terminal.
    """

    def __init__(self, max_steps: int, enabled: bool | None = None) -> None:
        self.max_steps = max_steps
        self._console = console(highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal if enabled is None else enabled
        self._bar = RichProgress(
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"), BarColumn(), TextColumn("{task.fields[text]}"),
            console=self._console, transient=True, disable=not self._live,
        )  # fmt: skip
        self._task = self._bar.add_task("train", total=max_steps, text="")
        self._began: tuple[int, float] | None = None  # step and clock
        self._first: tuple[int, float] | None = None  # likewise, after the first step: what is done once takes long
        self._has_told = False  # the time to the end
        self._printed_at = -float("inf")
        self._unprinted = ""
        self._cell: Any = _UNKNOWN  # of a notebook: what shows one line, and replaces it

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._bar.stop()
        if self._unprinted:  # a run that stops early still ends with its last numbers
            print(self._unprinted, flush=True)
            self._unprinted = ""

    def tick(self, step: int) -> None:
        """Take notice that so many steps are done, first before any: the time to the end is told soon after."""
        if self._has_told:
            return
        now = time.perf_counter()
        if self._began is None:
            self._began = step, now
            return
        since = self._began if self._first is None else self._first
        self._first = self._first or (step, now)
        if now - since[1] >= _SOON:
            self._show(step, self._pace(step, since, now), now)

    def update(self, step: int, loss: float | None, gap: float | None) -> None:
        """Show the numbers of a logged step."""
        now = time.perf_counter()
        text = []
        if self._first is None:
            self._first = step, now
        elif step > self._first[0]:
            text += self._pace(step, self._first, now)
        text += [f"{name} {value:.4g}" for name, value in (("loss", loss), ("gap", gap)) if value is not None]
        self._show(step, text, now)

    def _pace(self, step: int, since: tuple[int, float], now: float) -> list[str]:
        self._has_told = True
        rate = (step - since[0]) / (now - since[1])
        pace = f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / rate:.3g} s a step"
        return [pace, f"{_clock((self.max_steps - step) / rate)} left"]

    def _show(self, step: int, text: list[str], now: float) -> None:
        if self._live:
            self._bar.update(self._task, completed=step, text="  ".join(text))
            return
        line = "  ".join([f"step {step:,}/{self.max_steps:,}", *text])
        if self._cell is _UNKNOWN:  # now, below what was printed
            self._cell = _in_notebook()
        if self._cell is not None:
            if now - self._printed_at >= _CELL_EVERY or step >= self.max_steps:
                self._cell.update({"text/plain": line}, raw=True)
                self._printed_at = now
            return
        if now - self._printed_at >= _PLAIN_EVERY or step >= self.max_steps:
            print(line, flush=True)
            self._printed_at, self._unprinted = now, ""
        else:
            self._unprinted = line

    def print(self, line: str) -> None:
        """A line of its own that the live line stays clear of; the run's log has it too."""
        to_file(line)
        if self._live:
            self._console.print(line, markup=False)
        else:
            print(line, flush=True)


def _in_notebook() -> Any:
    """A display of the notebook that this process is the kernel of, as IPython makes it; None where it is none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

    return display({"text/plain": "…"}, raw=True, display_id=True)


@contextmanager
def count_steps() -> Iterator[Callable[[int], None]]:
    """A live count of a chain's steps on a terminal, nothing anywhere else; it is told how many are done."""
    screen, began = console(), time.perf_counter()
    columns = TextColumn("step {task.completed:,.0f}"), TextColumn("{task.fields[rate]:.1f} steps/s")
    with RichProgress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("chain", total=None, rate=0.0)
        yield lambda step: bar.update(task, completed=step, rate=step / max(time.perf_counter() - began, 1e-9))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
