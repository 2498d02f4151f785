"""Averaged weights: θ̄ ← θ̄ + r (θ − θ̄), which draw better samples than the last ones."""

import copy
from typing import Any

import torch
from torch import nn

from ebm_exp.types import Probability


class EMA:
    """A moving average of an energy's weights.

    The rate of update n is max(rate, 1/n): the plain mean at first, so that the initial weights leave no trace.

    Args:
        energy: what is averaged.
        rate: r; 1 follows the weights, 0 is their mean over all of training.

    Attributes:
        energy: a copy with the averaged weights, in evaluation mode and without gradients. Other buffers (spectral
            vectors) are those of the newest weights.
    """

    def __init__(self, energy: nn.Module, rate: Probability) -> None:
        self.rate, self.n_updates = rate, 0
        self.source = energy
        self.energy = copy.deepcopy(energy).eval().requires_grad_(False)
        self._averaged, self._weights = list(self.energy.parameters()), list(energy.parameters())

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        self.n_updates += 1
        torch._foreach_lerp_(self._averaged, self._weights, max(self.rate, 1 / self.n_updates))
        for mine, newest in zip(self.energy.buffers(), self.source.buffers(), strict=True):
            mine.copy_(newest)

    def state_dict(self) -> dict[str, Any]:
        return {"n_updates": self.n_updates, "energy": self.energy.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n_updates = state["n_updates"]
        self.energy.load_state_dict(state["energy"])
