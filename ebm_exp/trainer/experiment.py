"""What a training consists of: the parts of one experiment, built."""

from typing import NamedTuple

import torch

from ebm_exp.augmentation import Augmentation
from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.evaluator import Evaluator
from ebm_exp.guard import Guard
from ebm_exp.objective.base import Objective
from ebm_exp.random import Stream
from ebm_exp.sampling.base import Sampling
from ebm_exp.schedule.base import Schedule


class Experiment(NamedTuple):
    """The parts that the loop and the report use."""

    dataset: Dataset
    energy: Energy
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    engine: Engine
    sampling: Sampling
    evaluators: dict[str, Evaluator]
    data_augmentation: Augmentation
    stream: Stream
    guard: Guard
    optimized_metric: str | None = None
