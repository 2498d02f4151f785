"""The means of an interval, without waiting for the device."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ebm_exp.guard.rule import DivergedError, Symptom

_CAUSES = ("a learning rate that is too high", ("sampler", "chains that left all data behind"))
_KNOBS = ("a smaller optimizer.lr", "trainer.gradient_norm_clip<=1", "a smaller sampler.step_size")


class NonFiniteError(DivergedError):
    """A number that should be finite is not; training stops instead of going on with nonsense.

    Attributes:
        step: the first step at which it happened.
        metric: what was not finite, e.g. ``train/loss``.
    """

    def __init__(self, step: int, metric: str) -> None:
        seen = f"step {step}: {metric} is not finite (NaN or infinite)"
        super().__init__(Symptom("non_finite", step, seen, _CAUSES, _KNOBS, ("learning_rate", "clip")))
        self.args = step, metric  # so that the exception survives pickling between processes
        self.step, self.metric = step, metric

    def __str__(self) -> str:
        return f"step {self.step}: {self.metric} is not finite (NaN or infinite)"


class Meter:
    """Means of an interval's metrics, and the first step at which one was not finite, both kept on the device.

    A metric that some steps do not have (an estimate that waits for data) is averaged over those that do.

    Args:
        device: where the metrics live.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._seen: dict[tuple[str, ...], _Sums] = {}  # by the names that came together

    @torch.no_grad()
    def add(self, step: int, metrics: Mapping[str, Tensor]) -> None:
        """Take in one step's metrics, each a scalar tensor on the device; never synchronises with the host.

        Raises:
            ValueError: when there are none.
        """
        if not metrics:
            raise ValueError(f"step {step}: there are no metrics")
        values = torch.stack(list(metrics.values())).double()  # [n_metrics]
        names = tuple(metrics)
        if names not in self._seen:
            self._seen[names] = _Sums(len(names), self.device)
        sums = self._seen[names]
        sums.total += values
        sums.count += 1
        sums.first_bad = torch.where(values.isfinite(), sums.first_bad, sums.first_bad.clamp(max=step))

    def read(self) -> tuple[dict[str, float], tuple[int, str] | None]:
        """The means since the last read, and the earliest (step, metric) that was not finite; starts a new interval.

        Of metrics that failed at the same step, the first of their order is named. One transfer from the device;
        without any step since the last read, ``({}, None)``.
        """
        if not self._seen:
            return {}, None
        total = torch.cat([sums.total for sums in self._seen.values()])
        first_bad = torch.cat([sums.first_bad for sums in self._seen.values()])
        names = [(name, sums.count) for key, sums in self._seen.items() for name in key]
        self._seen = {}
        added: dict[str, float] = {}
        counts: dict[str, int] = {}
        bad: tuple[int, str] | None = None
        for (name, count), of_all, failed in zip(names, *torch.stack([total, first_bad]).tolist(), strict=True):
            added[name] = added.get(name, 0.0) + of_all
            counts[name] = counts.get(name, 0) + count
            if not math.isinf(failed) and (bad is None or failed < bad[0]):
                bad = int(failed), name
        return {name: of_all / counts[name] for name, of_all in added.items()}, bad

    def first_bad(self) -> tuple[int, str] | None:
        """The earliest (step, metric) of this interval that was not finite; the interval goes on."""
        found = [
            (int(step), name)
            for names, sums in self._seen.items()
            for name, step in zip(names, sums.first_bad.tolist(), strict=True)
            if not math.isinf(step)
        ]
        return min(found, key=lambda each: each[0]) if found else None

    def state_dict(self) -> list[dict[str, Any]]:
        """The interval so far, for a checkpoint in its middle."""
        return [
            {"names": list(names), "count": sums.count, "total": sums.total, "first_bad": sums.first_bad}
            for names, sums in self._seen.items()
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Go on with a saved interval."""
        self._seen = {}
        for each in state:
            names = tuple(map(str, each["names"]))
            sums = self._seen[names] = _Sums(len(names), self.device)
            sums.count = int(each["count"])
            sums.total.copy_(each["total"])
            sums.first_bad.copy_(each["first_bad"])


class _Sums:
    """What an interval's steps with the same metrics add up to."""

    def __init__(self, n: int, device: torch.device) -> None:
        self.count = 0
        self.total = torch.zeros(n, dtype=torch.float64, device=device)
        self.first_bad = torch.full_like(self.total, math.inf)  # inf: finite at every step so far
