"""What an evaluation says of a training's health."""

import math
from collections.abc import Callable, Mapping

from ebm_exp.evaluator import Score
from ebm_exp.guard.rule import Symptom

OF_SCORES = ("score_not_finite", "worse_than_start")  # symptoms
AFTER = 200  # steps; before them a network knows little
FAR = 1.1  # times as far from the data as the points that samples began at


def of_scores(step: int, scores: Mapping[str, Score], of_starts: Callable[[], Mapping[str, Score]]) -> Symptom | None:
    """The symptom that scores show: one that is no number, or samples that are worse than where they began.

    Args:
        step: of the evaluation.
        scores: by name.
        of_starts: the scores of points where samples begin, unmoved.
    """
    causes = "an energy that leads chains away from the data: too high a learning rate, or training chains that know "
    causes += "nothing of those that begin at noise (a buffer without restarts)"
    helps = "What helps: a smaller optimizer.lr, buffer.reinit_probability=0.05, a larger buffer.size."
    for name, score in scores.items():
        if math.isnan(score.value):
            text = f"at step {step:,} eval/{name} is NaN. Likely: {causes}. {helps}"
            return Symptom("score_not_finite", step, text, ("learning_rate", "clip"))
    distances = [name for name in scores if name.startswith(("frechet", "mmd"))] if step > AFTER else []
    for name in distances:
        start = of_starts().get(name)
        if start is not None and scores[name].value > FAR * start.value > 0:
            text = (
                f"at step {step:,} samples are worse than the points they began at: eval/{name} is "
                f"{scores[name].value:.4g}, of those points {start.value:.4g}. Likely: {causes}. {helps}"
            )
            return Symptom("worse_than_start", step, text, ("restarts", "learning_rate"))
    return None
