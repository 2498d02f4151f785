"""Stopping a training from outside without losing a step."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self, TypeVar

from ebm_exp.ranks import RankLostError

Result = TypeVar("Result")

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_ANYTHING = 3  # so many signals leave whatever is under way


class Interrupt(BaseException):
    """Leaves what is under way at once."""


class StopRequest:
    """A signal asks for a stop after the running step, a second one to leave it, a third to leave anything.

    Ctrl-C, a closed terminal, and what schedulers send: SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU. One that this process
    ignored before counts once: who started it repeats what it asks for. A thread that is not the main one hears none:
    Python lets it have no handlers.

    Args:
        told: the line that the first one is answered with; empty: none.
    """

    def __init__(self, told: str = "stopping after this step; once more: at once") -> None:
        self.told = told
        self.signal: int | None = None  # the one that came first
        self._n = 0  # so many came
        self._leaving_at = _ANYTHING
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether one has come."""
        return self.signal is not None

    def unless(self, work: Callable[[], Result], signals: int = 1) -> Result | None:
        """What work returns; None when so many signals came, before it or within it: it is left at once then."""
        try:
            self._leaving_at = signals
            if self._n >= signals:
                return None
            result = work()
            self._leaving_at = _ANYTHING
        except Interrupt:
            return None
        finally:
            self._leaving_at = _ANYTHING
        return result

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._ask) for s in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._restore()
        if (
            self._before and kind is not None and issubclass(kind, RankLostError)
        ):  # torchrun asks at once; there is little left to write
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        repeated = self._before[number] is signal.SIG_IGN
        if self._n and repeated:
            return
        self._n += 1
        if self.signal is None:
            self.signal = number
            if self.told and not repeated:  # else the process that passes it on says so
                say(self.told)
        if self._n >= _ANYTHING:
            self._restore()
        if self._n >= self._leaving_at:
            self._leaving_at = _ANYTHING
            raise Interrupt


def say(line: str) -> None:
    """Print a line from a signal's handler, which may have come in the middle of another."""
    clear = b"\r\x1b[K" if os.isatty(2) else b""  # of ^C, and of a live line, which is drawn anew below
    with contextlib.suppress(OSError):
        os.write(2, clear + line.encode() + b"\n")
