"""Stopping a training from outside without losing a step."""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class _Interrupt(BaseException):
    """Leaves what may be left at once."""


class StopRequest:
    """A signal asks for a stop after the running step, a second one stops at once.

    Ctrl-C, a closed terminal, and what schedulers send: SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU.
    """

    def __init__(self) -> None:
        self.signal: int | None = None  # the one that came
        self._may_interrupt = False
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether one has come."""
        return self.signal is not None

    def unless(self, work: Callable[[], Result]) -> Result | None:
        """What work returns; None when a stop was asked for, before it or within it: it is left at once then."""
        if self.requested:
            return None
        try:
            self._may_interrupt = True
            result = work()
            self._may_interrupt = False
        except _Interrupt:
            return None
        finally:
            self._may_interrupt = False
        return result

    def __enter__(self) -> Self:
        self._before = {s: signal.signal(s, self._ask) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()
        if self._may_interrupt:
            self._may_interrupt = False
            raise _Interrupt
