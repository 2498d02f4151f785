"""What a training that is not healthy leaves: the step that showed it, whole."""

import logging
from typing import Any

from ebm_exp.guard import Symptom
from ebm_exp.logger.console import to_file
from ebm_exp.objective.base import Loss
from ebm_exp.run import checkpoint
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.experiment import Experiment


def keep(
    directory: RunDirectory, symptom: Symptom, experiment: Experiment, loss: Loss | None, state: dict[str, Any]
) -> None:
    """Write ``checkpoints/diverged.pt``: the batch, the points and the state of the step that was found; and log it.

    Args:
        directory: of the run.
        symptom: what was found.
        experiment: gives the training points of the step.
        loss: of the step.
        state: of the run after it.
    """
    step = state["step"]
    batch = experiment.batch(step - 1)
    points = {} if loss is None else {name: x.detach() for name, x in loss.points.items()}
    held = {"symptom": symptom.name, "text": symptom.text, "batch": batch.x, "labels": batch.y, "points": points}
    checkpoint.save(directory.checkpoints / "diverged.pt", held | {"state": state})
    to_file(f"diverged at step {step}: {symptom.text}", logging.ERROR)


def judge_data(symptom: Symptom, experiment: Experiment) -> Symptom:
    """The symptom, unless the points of its step were not finite: then it is theirs."""
    if symptom.name != "non_finite" or symptom.step < 1:
        return symptom
    x = experiment.batch(symptom.step - 1).x
    if bool(x.isfinite().all()):
        return symptom
    rows = int((~x.isfinite().flatten(1).all(1)).sum())
    text = (
        f"step {symptom.step}: {rows} of the {len(x)} points of its batch are not finite (NaN or infinite). Likely: "
        f"the data hold such values. What helps: to remove them from dataset={experiment.dataset.name}."
    )
    return Symptom("data_not_finite", symptom.step, text)
