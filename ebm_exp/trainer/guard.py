"""The watch over a run's numbers: means for the log, and the first step at which one was not finite.

Everything stays on the device until it is read, so watching each step costs no synchronisation.
"""

import torch
from torch import Tensor

_NEVER = torch.iinfo(torch.int64).max


class NonFiniteError(Exception):
    """Training met a number that is not finite. Nothing was replaced, and no checkpoint was written after it."""

    def __init__(self, step: int, metric: str) -> None:
        super().__init__(f"{metric} is not finite at step {step}")
        self.step, self.metric = step, metric


class Meter:
    """Means of scalar metrics between two readings.

    Args:
        device: where the metrics live.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._names: list[str] = []
        self._sums = self._first_bad = torch.empty(0)
        self._count = 0

    def add(self, step: int, metrics: dict[str, Tensor]) -> None:
        """Take in the scalars of one step.

        Raises:
            ValueError: when the names differ from those of the first call.
        """
        if not self._names:
            self._names = list(metrics)
            self._sums = torch.zeros(len(metrics), device=self.device)
            self._first_bad = torch.full((len(metrics),), _NEVER, device=self.device)
        if list(metrics) != self._names:
            raise ValueError(f"metrics changed from {self._names} to {list(metrics)}")
        values = torch.stack([value.detach().float() for value in metrics.values()])
        self._sums += values
        self._first_bad = torch.where(values.isfinite(), self._first_bad, self._first_bad.clamp(max=step))
        self._count += 1

    def read(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """Means since the last reading, and the first (step, metric) that was not finite, if any."""
        means = dict(zip(self._names, (self._sums / max(self._count, 1)).tolist(), strict=True))
        bad = min(zip(self._first_bad.tolist(), self._names, strict=True), key=lambda pair: pair[0], default=(_NEVER, ""))
        self._sums = torch.zeros_like(self._sums)
        self._count = 0
        return means, None if bad[0] == _NEVER else (int(bad[0]), bad[1])
