"""Watching a run's numbers without waiting for the device."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


class NonFiniteError(ArithmeticError):
    """A number that should be finite is not; training stops instead of going on with nonsense.

    Attributes:
        step: the first step at which it happened.
        metric: what was not finite, e.g. ``train/loss``.
    """

    def __init__(self, step: int, metric: str) -> None:
        super().__init__(step, metric)  # both as arguments, so that the exception survives pickling between processes
        self.step, self.metric = step, metric

    def __str__(self) -> str:
        return f"step {self.step}: {self.metric} is not finite (NaN or infinite)"


class Meter:
    """Means of an interval's metrics, and the first step at which one was not finite, both kept on the device.

    Args:
        device: where the metrics live.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._names: tuple[str, ...] = ()
        self._count = 0
        self._sum: Tensor  # [n_metrics], as _first_bad; made at the first call of add
        self._first_bad: Tensor

    @torch.no_grad()
    def add(self, step: int, metrics: Mapping[str, Tensor]) -> None:
        """Take in one step's metrics, each a scalar tensor on the device; never synchronises with the host.

        Raises:
            ValueError: when the names differ from those of the first call, or there are none.
        """
        if not self._names and metrics:
            self._names = tuple(metrics)
            self._reset()
        if not metrics or set(metrics) != set(self._names):
            changed = ", ".join(sorted(set(metrics) ^ set(self._names))) or "there are none"
            raise ValueError(f"step {step}: the metrics must be the same at every step; differing: {changed}")
        values = torch.stack([metrics[name] for name in self._names]).double()  # [n_metrics]
        self._sum += values
        self._count += 1
        self._first_bad = torch.where(values.isfinite(), self._first_bad, self._first_bad.clamp(max=step))

    def read(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """The means since the last read, and the earliest (step, metric) that was not finite; starts a new interval.

        Of metrics that failed at the same step, the first of their order is named. One transfer from the device;
        without any step since the last read, ``({}, None)``.
        """
        if not self._count:
            return {}, None
        sums, first_bad = torch.stack([self._sum, self._first_bad]).tolist()
        means = {name: total / self._count for name, total in zip(self._names, sums, strict=True)}
        earliest = min(range(len(first_bad)), key=first_bad.__getitem__)
        bad = None if math.isinf(first_bad[earliest]) else (int(first_bad[earliest]), self._names[earliest])
        self._reset()
        return means, bad

    def _reset(self) -> None:
        self._count = 0
        self._sum = torch.zeros(len(self._names), dtype=torch.float64, device=self.device)
        self._first_bad = torch.full_like(self._sum, math.inf)  # inf: finite at every step so far
