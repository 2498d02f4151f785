"""Weak L2 on energies (Du & Mordatch 2019): w · (E(x⁺)² + E(x⁻)²), which fixes the energy's free constant near 0."""

from torch import Tensor

from ebm_exp.regularization.base import Step, Term
from ebm_exp.types import NonNegative


class EnergyL2(Term):
    """Penalises the squared energies of data and, where an objective has them, of samples.

    Args:
        weight: w.
    """

    pure = True

    def __init__(self, weight: NonNegative) -> None:
        self.weight = weight

    def __call__(self, now: Step) -> Tensor:
        squared = now.positive.e.square()
        if now.negative is not None:
            squared = squared + now.negative.e.square()
        return self.weight * squared
