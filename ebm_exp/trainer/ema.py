"""Averaged weights: what images, evaluators and samples use."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ebm_exp.energy import Energy
from ebm_exp.objective.base import Objective
from ebm_exp.regularization.spectral_norm import PowerIteration
from ebm_exp.types import Probability

N_ITERATIONS = 30  # of a spectral norm on averaged weights, from the singular vectors of the weights in training


class EMA:
    """An exponential moving average of the weights of an energy and its objective that starts as their plain mean.

    θ̄ ← θ̄ + w·(θ − θ̄),  w = max(rate, 1/(n_updates + 1)),

    so that for the first 1/rate updates θ̄ is the exact mean of the weights seen, without a pull to the initial ones;
    after them it forgets with a time constant of 1/rate updates. Every parameter is averaged (behind a parametrization
    such as a spectral norm, the unnormalised one).

    Args:
        energy: the network in training; it is read at every update and never changed.
        objective: likewise, for the parameters of its own.
        rate: share of the new weights. 1 follows the weights exactly; 0 is the plain mean of all updates.

    Attributes:
        energy: a copy with the averaged weights, in evaluation mode, without gradients; ``refresh`` it before use.
        objective: likewise.
        n_updates: how many updates it has seen.

    Raises:
        ValueError: when the rate is not in [0, 1].
    """

    def __init__(self, energy: Energy, objective: Objective, rate: Probability) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be in [0, 1], got {rate}")
        self.rate, self.n_updates = rate, 0
        self.energy = copy.deepcopy(energy).eval().requires_grad_(False)
        self.objective = copy.deepcopy(objective).eval().requires_grad_(False)
        self._pairs: tuple[tuple[nn.Module, nn.Module], ...] = ((self.energy, energy), (self.objective, objective))
        self._mean: list[Tensor] = [p for mean, _ in self._pairs for p in mean.parameters()]
        self._new: list[Tensor] = [p for _, new in self._pairs for p in new.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the present weights; no host synchronisation."""
        weight = max(self.rate, 1 / (self.n_updates + 1))
        if self._mean:
            torch._foreach_lerp_(self._mean, self._new, weight)
        self.n_updates += 1

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring what is not averaged up to date: buffers, and the norms of the averaged weights.

        It depends on the present weights alone, so a resumed run sees what an uninterrupted one does.
        """
        for mean, new in self._pairs:
            for mean_buffer, new_buffer in zip(mean.buffers(), new.buffers(), strict=True):
                mean_buffer.copy_(new_buffer)
            for layer in mean.modules():
                if parametrize.is_parametrized(layer):
                    for steps in layer.parametrizations.values():  # type: ignore[operator, union-attr]
                        _follow(steps)

    def state_dict(self) -> dict[str, Any]:
        """``energy`` and ``objective`` (the averaged weights) and ``n_updates``."""
        self.refresh()
        return {
            "energy": self.energy.state_dict(),
            "objective": self.objective.state_dict(),
            "n_updates": self.n_updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved average.

        Raises:
            RuntimeError: when the weights do not fit.
        """
        self.energy.load_state_dict(state["energy"])
        self.objective.load_state_dict(state["objective"])
        self.n_updates = int(state["n_updates"])
        if self.n_updates < 0:
            raise ValueError(f"{self.n_updates} updates")


def _follow(steps: Any) -> None:
    """Let each power iteration of one weight's parametrizations converge to this weight."""
    weight = steps.original
    for step in steps:
        if isinstance(step, PowerIteration):
            for _ in range(N_ITERATIONS):
                step.iterate(weight)
        weight = step(weight)
