"""What a training that is not healthy leaves: the step that showed it, whole."""

from typing import Any

from ebm_exp.guard import Symptom
from ebm_exp.objective.base import Loss
from ebm_exp.run import checkpoint
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.types import Points


def keep(directory: RunDirectory, symptom: Symptom, batch: Points, loss: Loss | None, state: dict[str, Any]) -> None:
    """Write ``checkpoints/diverged.pt``: the batch, the points and the state of the step that was found.

    Args:
        directory: of the run.
        symptom: what was found.
        batch: the training points of the step.
        loss: of the step.
        state: of the run after it.
    """
    points = {} if loss is None else {name: x.detach() for name, x in loss.points.items()}
    held = {"symptom": symptom.name, "text": symptom.text, "batch": batch.x, "labels": batch.y, "points": points}
    checkpoint.save(directory.checkpoints / "diverged.pt", held | {"state": state})


def of_data(symptom: Symptom, experiment: Experiment, batch_size: int) -> Symptom:
    """The symptom, unless the points of its step were not finite: then it is theirs."""
    if symptom.name != "non_finite" or symptom.step < 1:
        return symptom
    ex = experiment
    x = ex.dataset.batch(symptom.step - 1, batch_size, ex.stream.seed, ex.stream.rank, ex.data_augmentation).x
    if bool(x.isfinite().all()):
        return symptom
    rows = int((~x.isfinite().flatten(1).all(1)).sum())
    text = (
        f"step {symptom.step}: {rows} of the {len(x)} points of its batch are not finite (NaN or infinite). Likely: "
        f"the data hold such values. What helps: to remove them from dataset={ex.dataset.name}."
    )
    return Symptom("data_not_finite", symptom.step, text)
