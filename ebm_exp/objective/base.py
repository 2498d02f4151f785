"""What an objective is called with and what it returns."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_exp.buffer import Buffer
from ebm_exp.energy import Energy
from ebm_exp.regularization import Combined
from ebm_exp.types import Minibatch


class ObjectiveOutput(NamedTuple):
    """One training step's loss and what it was made of."""

    loss: Tensor  # [batch], with a graph
    metrics: dict[str, Tensor]  # scalars on the device, without one
    x_pos: Tensor  # [batch, *event], data
    x_neg: Tensor  # [batch, *event], samples of the model
    e_pos: Tensor  # [batch], without a graph
    e_neg: Tensor  # [batch], without a graph


class Objective(ABC):
    """A loss per sample of one batch; the training loop takes the mean."""

    buffer: Buffer | None = None  # what a checkpoint must hold beside the weights
    regularization: Combined

    @abstractmethod
    def __call__(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> ObjectiveOutput:
        """The loss of one batch; all randomness comes from the generator."""
