"""What an evaluation says of a training's health."""

import math
from collections.abc import Callable, Collection, Mapping

from ebm_exp.evaluator import Score
from ebm_exp.guard.rule import Symptom
from ebm_exp.metrics import SCORE

SYMPTOMS = ("score_not_finite", "worse_than_start")
AFTER = 200  # steps; before them a network knows little
FAR = 1.1  # times as far from the data as the points that samples began at


def judge_scores(
    step: int, scores: Mapping[str, Score], distances: Collection[str], score_starts: Callable[[], Mapping[str, Score]]
) -> Symptom | None:
    """The symptom that scores show: one that is no number, or samples that are worse than where they began.

    Args:
        step: of the evaluation.
        scores: by name.
        distances: names of those that say how far samples are from the data.
        score_starts: gives the scores of points where samples begin, unmoved; called when there is a distance.
    """
    causes = "an energy that leads chains away from the data: too high a learning rate, or training chains that know "
    causes += "nothing of those that begin at noise (a buffer without restarts)"
    helps = "What helps: a smaller optimizer.lr, buffer.reinit_probability=0.05, a larger buffer.size."
    for name, score in scores.items():
        if math.isnan(score.value):
            text = f"at step {step:,} {SCORE(name)} is NaN. Likely: {causes}. {helps}"
            return Symptom("score_not_finite", step, text, ("learning_rate", "clip"))
    for name in [each for each in scores if each in distances and step > AFTER]:
        start = score_starts().get(name)
        if start is not None and scores[name].value > FAR * start.value > 0:
            text = (
                f"at step {step:,} samples are worse than the points they began at: {SCORE(name)} is "
                f"{scores[name].value:.4g}, of those points {start.value:.4g}. Likely: {causes}. {helps}"
            )
            return Symptom("worse_than_start", step, text, ("restarts", "learning_rate"))
    return None
