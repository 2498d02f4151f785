"""Averaged weights: what images, evaluators and samples use."""

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ebm_exp.types import Probability

Network = TypeVar("Network", bound=nn.Module)


class EMA(Generic[Network]):
    """An exponential moving average of an energy's weights that starts as their plain mean.

    θ̄ ← θ̄ + w·(θ − θ̄),  w = max(rate, 1/(n_updates + 1)),

    so that for the first 1/rate updates θ̄ is the exact mean of the weights seen, without a pull to the initial ones;
    after them it forgets with a time constant of 1/rate updates. Every parameter is averaged (behind a parametrization
    such as a spectral norm, the unnormalised one); buffers are copied as they are.

    Args:
        energy: the network in training; it is read at every update and never changed.
        rate: share of the new weights. 1 follows the weights exactly; 0 is the plain mean of all updates.

    Attributes:
        energy: a copy of the network with the averaged weights, in evaluation mode, without gradients.
        n_updates: how many updates it has seen.

    Raises:
        ValueError: when the rate is not in [0, 1].
    """

    def __init__(self, energy: Network, rate: Probability) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be in [0, 1], got {rate}")
        self.rate, self.n_updates = rate, 0
        self.energy = copy.deepcopy(energy).eval().requires_grad_(False)
        self._source = energy

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the network's present weights; no host synchronisation."""
        weight = max(self.rate, 1 / (self.n_updates + 1))
        mean: list[Tensor] = list(self.energy.parameters())
        new: list[Tensor] = list(self._source.parameters())
        if mean:
            torch._foreach_lerp_(mean, new, weight)
        for mean_buffer, new_buffer in zip(self.energy.buffers(), self._source.buffers(), strict=True):
            mean_buffer.copy_(new_buffer)
        self.n_updates += 1

    def state_dict(self) -> dict[str, Any]:
        """``energy`` (the averaged weights) and ``n_updates``."""
        return {"energy": self.energy.state_dict(), "n_updates": self.n_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved average.

        Raises:
            RuntimeError: when the weights do not fit the energy.
        """
        self.energy.load_state_dict(state["energy"])
        self.n_updates = int(state["n_updates"])
