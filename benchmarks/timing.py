"""How long things take, side by side: they take turns in one process, and the median of several rounds counts.

One thread on the CPU is timed by the seconds that the processor spent on it, which others on the machine disturb least.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

_TURN = 0.03  # seconds at least; many short turns, so that what else the machine does falls on all alike
_ROUNDS = range(5, 102)


def alternate(works: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Milliseconds a call of each, in rounds for about so many seconds, but in five at least."""
    counts = {}
    for name, work in works.items():
        _time(work, 1)  # what is set up once
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
    on_cuda = torch.cuda.is_available()
    wait = torch.cuda.synchronize if on_cuda else lambda: None
    clock = time.process_time if torch.get_num_threads() == 1 and not on_cuda else time.perf_counter
    wait()
    began = clock()
    for _ in range(n):
        work()
    wait()
    return clock() - began
