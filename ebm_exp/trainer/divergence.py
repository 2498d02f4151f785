"""What a training that is not healthy leaves: the step that showed it, whole."""

import logging
from dataclasses import replace
from typing import Any

import torch

from ebm_exp.dataset import Dataset
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.guard import Symptom
from ebm_exp.guard.remedy import changes
from ebm_exp.guard.rule import ABSENT
from ebm_exp.logger.console import to_file
from ebm_exp.objective.base import Loss
from ebm_exp.run import checkpoint
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.experiment import Experiment

FAR_OUT = 100  # deviations; no point of a distribution that a network learns lies there
MOST_ROWS = 2**17  # that are looked at


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
    batch = experiment.whole_batch(step - 1)
    points = {} if loss is None else {name: x.detach() for name, x in loss.points.items()}
    held = {"symptom": symptom.name, "text": symptom.text, "batch": batch.x, "labels": batch.y, "points": points}
    checkpoint.save(directory.checkpoints / "diverged.pt", held | {"state": state})
    to_file(f"diverged at step {step}: {symptom.text}", logging.ERROR)


def explain(symptom: Symptom, experiment: Experiment) -> Symptom:
    """The symptom with what may have led to it and what helps in this training; the data are looked at first."""
    symptom = symptom.within(experiment.setting)
    remedy = tuple(name for name in symptom.remedy if _applies(name, experiment))
    symptom = replace(symptom, remedy=remedy)
    if symptom.name == "non_finite" and symptom.step >= 1:
        x = experiment.whole_batch(symptom.step - 1).x
        rows = int((~x.isfinite().flatten(1).all(1)).sum())
        if rows:
            seen = f"step {symptom.step}: {rows} of the {len(x)} points of its batch are not finite (NaN or infinite)"
            causes, knobs = ("the data hold such values",), (f"to remove them from dataset={experiment.dataset.name}",)
            return Symptom("data_not_finite", symptom.step, seen, causes, knobs)
    far = find_far(experiment.dataset)
    if far is None:
        return symptom
    knobs = (f"to correct or remove it in dataset={experiment.dataset.name}",)
    return replace(symptom, causes=(f"{far}", *symptom.causes), knobs=(*knobs, *symptom.knobs))


def _applies(remedy: str, experiment: Experiment) -> bool:
    """Whether a remedy changes anything that the training depends on."""
    return any(experiment.setting(key) is not ABSENT for key in changes([remedy], experiment.config))


def find_far(dataset: Dataset) -> str | None:
    """Which training point ``[d]`` lies farthest out, if it is far from all others; None also for images.

    A deviation is the standard deviation of the middle 98 % of a component, or of all where these are equal.
    """
    if len(dataset.event_shape) != 1 or not dataset.n_train:
        return None
    x = dataset.train(MOST_ROWS).double().cpu()
    middle = x.sort(0).values[len(x) // 100 : len(x) - len(x) // 100]
    centre, scale = middle.median(0).values, middle.std(0, correction=0)
    away = (x - centre).abs() / torch.where(scale > 0, scale, x.std(0, correction=0).clamp(min=1e-300))
    worst = int(away.argmax())
    row, k = divmod(worst, x.shape[1])
    if away[row, k] <= FAR_OUT:
        return None
    value, name = float(x[row, k]), f"component {k}"
    if isinstance(dataset.units, TableUnits):  # in the file's own words
        value, name = float(dataset.units.maps.to_values(x[row : row + 1])[0, k]), f"column {dataset.units.names[k]}"
    return f"a training point with {value:.6g} in {name}, {float(away[row, k]):,.0f} deviations away from the others"
