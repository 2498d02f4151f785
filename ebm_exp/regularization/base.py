"""What a regularization term may do: wrap the energy once, add a penalty in every step."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebm_exp.energy import Energy
from ebm_exp.types import EnergyFn, PerSample


class Side(NamedTuple):
    """The data of a step, or its samples, with what is known of them already."""

    x: Tensor  # [batch, *event]
    e: Tensor  # [batch], their energies, with a graph
    energy: EnergyFn  # their own context (labels, …) bound


class Regularization:
    """One term. Each method does nothing unless a subclass says so."""

    def prepare(self, energy: Energy) -> Energy:
        """The energy to train, wrapped if need be; called once, before the optimizer sees its parameters."""
        return energy

    def penalty(self, pos: Side, neg: Side, generator: torch.Generator) -> PerSample:
        """What is added to the loss ``[batch]``; the energies are those already computed for it.

        Args:
            pos: the data.
            neg: samples of the model, as many.
            generator: the source of all randomness.
        """
        return torch.zeros_like(pos.e)


class Combined(Regularization):
    """Several terms by name, as ``regularization.<term>`` on the command line; none at all is none."""

    def __init__(self, **terms: Regularization) -> None:
        self.terms = terms

    def prepare(self, energy: Energy) -> Energy:
        for term in self.terms.values():
            energy = term.prepare(energy)
        return energy

    def penalty(self, pos: Side, neg: Side, generator: torch.Generator) -> PerSample:
        total = torch.zeros_like(pos.e)
        for term in self.terms.values():
            total = total + term.penalty(pos, neg, generator)
        return total
