"""What a regularization term may do: wrap the energy once, add a penalty in every step."""

import torch

from ebm_exp.energy import Energy
from ebm_exp.types import Batch, PerSample


class Regularization:
    """One term. Each method does nothing unless a subclass says so."""

    def prepare(self, energy: Energy) -> Energy:
        """The energy to train, wrapped if need be; called once, before the optimizer sees its parameters."""
        return energy

    def penalty(self, energy: Energy, x_pos: Batch, x_neg: Batch, e_pos: PerSample, e_neg: PerSample) -> PerSample:
        """What is added to the loss ``[batch]``; the energies ``[batch]`` are those already computed for it."""
        return torch.zeros_like(e_pos)


class Combined(Regularization):
    """Several terms by name, as ``regularization.<term>`` on the command line; none at all is none."""

    def __init__(self, **terms: Regularization) -> None:
        self.terms = terms

    def prepare(self, energy: Energy) -> Energy:
        for term in self.terms.values():
            energy = term.prepare(energy)
        return energy

    def penalty(self, energy: Energy, x_pos: Batch, x_neg: Batch, e_pos: PerSample, e_neg: PerSample) -> PerSample:
        total = torch.zeros_like(e_pos)
        for term in self.terms.values():
            total = total + term.penalty(energy, x_pos, x_neg, e_pos, e_neg)
        return total
