"""An experiment from its config: every part of a training, built and checked before the first step."""

from collections.abc import Mapping
from typing import Any

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.trainer.experiment import Experiment


def build(config: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> tuple[Parts, Experiment]:
    """The parts of a training, with the states of a checkpoint, and the experiment they make.

    Args:
        config: resolved and validated.
        state: of a checkpoint; None: a new run.

    Raises:
        UserError: when a part refuses its values, or the batch does not fit data or objective.
    """
    parts = Parts(config, state=None if state is None else state["parts"])
    dataset, objective, batch_size = parts["dataset"], parts["objective"], config["trainer"]["batch_size"]
    if batch_size > dataset.n_train:
        most = dataset.n_train
        raise UserError(f"trainer: batch_size must be at most {most}, the training points, got {batch_size}")
    try:
        objective.check(batch_size)
    except ValueError as error:
        raise UserError(f"trainer: {error}") from error
    experiment = Experiment(
        dataset=dataset,
        energy=parts["energy"],
        objective=objective,
        optimizer=parts["optimizer"],
        schedule=parts["schedule"],
        engine=parts["engine"],
        sampling=parts["sampling"],
        evaluators=parts["evaluator"],
        data_augmentation=parts["data_augmentation"],
        stream=parts["stream"],
        sampler=getattr(objective, "sampler", None),
        optimized_metric=config["optimized_metric"],
    )
    return parts, experiment
