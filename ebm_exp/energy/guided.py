"""Guidance without a classifier: labels that act more, or less, than they did in training."""

import torch
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample


class Guided(Energy):
    """E(x) + w (E(x | y) − E(x)), so that ∇ log p gains w times what the label adds (Ho & Salimans 2022, Eq. 6).

    Args:
        energy: fitted with and without labels.
        weight: w; 1: the energy under its label.

    Raises:
        ValueError: when the energy knows no point without a label.
    """

    def __init__(self, energy: Energy, weight: float) -> None:
        super().__init__()
        if energy.no_label is None:
            raise ValueError("guidance: needs a run of energy.no_label=true objective.label_dropping=0.1")
        self.energy = energy
        self.weight = weight
        self.unlabelled = energy.no_label
        self.context, self.optional = energy.context, energy.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        free = self.energy(x, **context | {"y": torch.full_like(context["y"], self.unlabelled)})
        return torch.lerp(free, self.energy(x, **context), self.weight)
