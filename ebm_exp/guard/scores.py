"""What an evaluation says of a training's health."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from ebm_exp.evaluator import Score
from ebm_exp.guard.rule import Cause, Symptom
from ebm_exp.metrics import SCORE

SYMPTOMS = ("score_not_finite", "worse_than_start", "samples_stuck")
AFTER = 200  # steps; before them a network knows little
FAR = 1.1  # times as far from the data as the points that samples began at
HALFWAY = 0.5  # of the way from those points to the data; healthy recipes pass it within some hundred steps
STILL = 1000  # steps in which samples came no nearer
_NEARER = 0.9  # times a distance, and less, is nearer

Judged = Literal["starts", "noise", "data"]  # where samples begin; uniform points of the box; held-out points
ScorePoints = Callable[[Judged], Mapping[str, Score]]
Nearest = dict[str, tuple[int, float]]  # by score: when samples last came nearer, and how near

_CAUSES: tuple[Cause, ...] = (
    ("buffer", "training chains that know nothing of those that begin at noise (a buffer without restarts)"),
    "an energy that leads away from the data: too high a learning rate",
)
_STUCK: tuple[Cause, ...] = (
    _CAUSES[0],
    "an energy that is flat where samples begin",
    "a learning rate that is too low",
)
_RESTARTS = ("buffer.reinit_probability>=0.05", "a larger buffer.size")
_CALMER = ("a smaller optimizer.lr", *_RESTARTS)


def judge_scores(
    step: int, scores: Mapping[str, Score], distances: Collection[str], score_points: ScorePoints, nearest: Nearest
) -> Symptom | None:
    """The symptom that scores show: one that is no number, samples that are worse than where they began, or stay there.

    Args:
        step: of the evaluation.
        scores: by name.
        distances: names of those that say how far samples are from the data.
        score_points: gives the scores of other points in place of samples; called when there is a distance.
        nearest: of earlier evaluations; this one is taken in.
    """
    for name, score in scores.items():
        if math.isnan(score.value):
            seen = f"at step {step:,} {SCORE(name)} is NaN"
            return Symptom("score_not_finite", step, seen, _CAUSES, _CALMER, ("learning_rate", "clip"))
    known = [name for name in scores if name in distances] if step > AFTER else []
    came = {name: _take(step, name, scores[name].value, nearest) for name in known}
    starts = {name: start for name in known if (start := score_points("starts").get(name)) and start.value > 0}
    told = {n: f"{SCORE(n)} is {scores[n].value:.4g}, of those points {start.value:.4g}" for n, start in starts.items()}
    for name, start in starts.items():
        if scores[name].value > FAR * start.value:
            seen = f"at step {step:,} samples are worse than the points they began at: {told[name]}"
            return Symptom("worse_than_start", step, seen, _CAUSES, _CALMER, ("restarts", "learning_rate"))
    # Nobody knows which distance tells best: all of them must say it.
    still = starts and all(
        step - came[name] >= STILL and scores[name].value > HALFWAY * start.value for name, start in starts.items()
    )
    if still and all(_begin_far(name, scores[name].value, score_points) for name in starts):
        name = next(iter(starts))
        seen = (
            f"at step {step:,} samples are nearly as far from the data as the points they began at, and no nearer than "
            f"at step {came[name]:,}: {told[name]}, of data {score_points('data')[name].value:.4g}"
        )
        knobs = (*_RESTARTS, "more sampling.n_steps", "another optimizer.lr")
        return Symptom("samples_stuck", step, seen, _STUCK, knobs, ("restarts",))
    return None


def _take(step: int, name: str, value: float, nearest: Nearest) -> int:
    """Take in a distance; returns the step since which samples came no nearer."""
    since, near = nearest.get(name, (step, math.inf))
    if value < _NEARER * near:
        since = step
        nearest[name] = step, value
    return since


def _begin_far(name: str, value: float, score_points: ScorePoints) -> bool:
    """Whether samples that are not halfway to the data begin at points that know nothing of them, as noise does.

    Chains from data, from a buffer or from a density that was fitted need not come nearer.
    """
    start, noise = score_points("starts").get(name), score_points("noise").get(name)
    data = score_points("data").get(name)
    if start is None or noise is None or data is None or start.value < HALFWAY * noise.value:
        return False
    return value - data.value > HALFWAY * (start.value - data.value)
