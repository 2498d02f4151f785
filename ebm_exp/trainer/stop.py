"""Stopping a training from outside without losing a step."""

import signal
from types import FrameType
from typing import Self


class StopRequest:
    """Ctrl-C or SIGTERM asks for a stop after the running step, with a checkpoint; a second one stops at once."""

    signal: int | None = None  # the one that came

    @property
    def requested(self) -> bool:
        """Whether one has come."""
        return self.signal is not None

    def __enter__(self) -> Self:
        self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for s, handler in self._before.items():
            signal.signal(s, handler)
