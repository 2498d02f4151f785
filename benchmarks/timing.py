"""How long things take, side by side: they take turns in one process, and the median of several rounds counts."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

_TURN = 0.03  # seconds at least; many short turns, so that what else the machine does falls on all alike
_ROUNDS = range(7, 102)


def alternate(works: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Milliseconds a call of each, in rounds for about so many seconds, but in seven at least."""
    counts = {}
    for name, work in works.items():
        _time(work, 2)  # what is set up once
        counts[name] = max(1, round(_TURN / _time(work, 1)))
    took: dict[str, list[float]] = {name: [] for name in works}
    began, n = time.perf_counter(), 0
    while n < _ROUNDS.start or (n < _ROUNDS.stop and time.perf_counter() < began + seconds):
        n += 1
        for name, work in works.items():
            took[name].append(1000 * _time(work, counts[name]) / counts[name])
    return {name: statistics.median(each) for name, each in took.items()}


def _time(work: Callable[[], object], n: int) -> float:
    """Seconds of n calls."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    began = time.perf_counter()
    for _ in range(n):
        work()
    wait()
    return time.perf_counter() - began
