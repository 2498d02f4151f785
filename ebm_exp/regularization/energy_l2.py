"""Weak L2 on energies (Du & Mordatch 2019): w · (E(x⁺)² + E(x⁻)²), which fixes the energy's free constant near 0."""

import torch

from ebm_exp.regularization.base import Regularization, Side
from ebm_exp.types import NonNegative, PerSample


class EnergyL2(Regularization):
    """Penalises the squared energies of data and of samples.

    Args:
        weight: w.
    """

    def __init__(self, weight: NonNegative) -> None:
        self.weight = weight

    def penalty(self, pos: Side, neg: Side, generator: torch.Generator) -> PerSample:
        return self.weight * (pos.e.square() + neg.e.square())
