"""Weak L2 on energies (Du & Mordatch 2019): w · (E(x⁺)² + E(x⁻)²), which fixes the energy's free constant near 0."""

from ebm_exp.energy import Energy
from ebm_exp.regularization.base import Regularization
from ebm_exp.types import Batch, NonNegative, PerSample


class EnergyL2(Regularization):
    """Penalises the squared energies of data and of samples.

    Args:
        weight: w.
    """

    def __init__(self, weight: NonNegative) -> None:
        self.weight = weight

    def penalty(self, energy: Energy, x_pos: Batch, x_neg: Batch, e_pos: PerSample, e_neg: PerSample) -> PerSample:
        return self.weight * (e_pos.square() + e_neg.square())
