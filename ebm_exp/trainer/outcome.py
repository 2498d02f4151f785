"""What comes of a training: how it ended, and its best evaluation."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from ebm_exp.evaluator import Score
from ebm_exp.guard.rule import Symptom
from ebm_exp.metrics import SCORE

Best = dict[str, Any]  # metric, value, step, better
Prune = Callable[[int, dict[str, Score]], bool]  # (step, its scores): whether the training is to end there


class Outcome(NamedTuple):
    """How a training ended; what fails raises.

    Attributes:
        state: ``finished``, ``stopped`` by a signal, ``pruned``, or ``diverged``: see ``symptom``.
        best: of its evaluations; None: none was made, or no metric is optimized.
        reason: why it ended before its time.
        signal: the one that came, though it may have ended before it could be stopped.
        symptom: of one that diverged.
    """

    state: Literal["finished", "stopped", "pruned", "diverged"]
    best: Best | None = None
    reason: str | None = None
    signal: int | None = None
    symptom: Symptom | None = None

    @property
    def exit_code(self) -> int:
        """Of the process: 0, 3 for diverged, 128 + the signal that stopped it."""
        return {"diverged": 3, "stopped": 128 + (self.signal or 0)}.get(self.state, 0)


def best_of(best: Best | None, metric: str | None, scores: Mapping[str, Score], step: int) -> Best | None:
    """The better of the best so far and the scores of this step, in the direction that the evaluator gives."""
    score = scores.get(SCORE.shorten(metric or ""))
    if score is None or score.better is None or score.refuted or not math.isfinite(score.value):
        return best
    sign = 1 if score.better == "lower" else -1
    if best is not None and sign * score.value >= sign * best["value"]:
        return best
    return {"metric": metric, "value": score.value, "step": step, "better": score.better}
