"""What a run says of itself at its start."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from ebm_exp import __version__
from ebm_exp.energy.base import count_parameters
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.experiment import Experiment


def collect_facts(experiment: Experiment) -> dict[str, Any]:
    """What the summary and W&B record of a run beside its config."""
    ex, device = experiment, experiment.engine.device
    drawn = f"averaged weights, {ex.sampling.describe()}"
    return {
        "n_parameters": count_parameters(ex.energy),
        "temperature": ex.objective.temperature,
        "data": ex.dataset.facts(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu ({platform.machine()})",
        "precision": ex.engine.precision,
        "protocol": {name: f"{each.protocol}; {drawn}" for name, each in ex.evaluators.items()},
        "versions": {"python": platform.python_version()}
        | {"ebm-exp": __version__}
        | {name: version(name) for name in ("torch", "hydra-core", "omegaconf")},
    }


def outline(
    experiment: Experiment, directory: RunDirectory, facts: Mapping[str, Any], step: int, max_steps: int
) -> list[str]:
    """The experiment in a few lines, before it goes on from a step."""
    ex, data = experiment, experiment.dataset
    shape = "×".join(map(str, data.event_shape))
    lines = [
        f"run       {directory.path}",
        f"device    {facts['device']}, torch {facts['versions']['torch']}, {ex.engine.precision}",
        f"data      {data.name}: {data.n_train:,} train, {data.n_test:,} test, "
        f"{shape} in [{data.domain.low:g}, {data.domain.high:g}]",
        f"energy    {type(ex.energy).__name__}: {facts['n_parameters']:,} parameters",
        *(f"{title:<10}{text}" for title, text in ex.objective.describe().items()),
    ]
    lines += [
        f"samples   {ex.sampling.describe()}",
        *(f"evaluate  {name}: {text}" for name, text in facts["protocol"].items()),
        f"training  {type(ex.objective).__name__}, batch {ex.batch_size}, {max_steps:,} steps",
    ]
    lines += [f"warning   {text}" for text in ex.objective.warnings(ex.energy)]
    ends_at = ex.schedule.ends_at
    if ends_at is not None and ends_at <= step < max_steps:
        lines.append(f"warning   the learning rate fell to 0 at step {ends_at:,}: nothing will change")
    return lines
