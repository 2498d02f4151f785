"""Energies made of energies: products, mixtures and negations of densities (Hinton 2002; Du, Li & Mordatch 2020).

Each part is a density p_i ∝ exp(−E_i/T_i) of its own temperature; the composition is one at temperature T:

    product   p ∝ Π p_i^w_i             E = T Σ w_i E_i/T_i              (w_i < 0: negation)
    mixture   p = Σ w_i p_i / Σ w_i      E = −T log Σ w_i exp(−E_i/T_i − log Z_i)
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample


class _Composed(Energy):
    """Parts with a weight and a temperature each.

    Args:
        energies: E_i, of points of one shape.
        weights: w_i.
        temperatures: T_i.
        temperature: T.

    Raises:
        ValueError: when there are not as many weights or temperatures as energies.
    """

    def __init__(
        self, energies: Sequence[Energy], weights: Sequence[float], temperatures: Sequence[float], temperature: float
    ) -> None:
        super().__init__()
        if not len(energies) == len(weights) == len(temperatures):
            raise ValueError(f"weights: needs one for each of the {len(energies)} energies, got {len(weights)}")
        self.energies = nn.ModuleList(energies)
        self.weights = tuple(weights)
        self.temperatures = tuple(temperatures)
        self.temperature = temperature
        self.context = tuple(dict.fromkeys(name for energy in energies for name in energy.context))

    def parts(self, x: Batch, context: dict[str, Tensor]) -> list[PerSample]:
        """E_i/T_i of each part ``[batch]``, under that of the context which it names."""
        return [
            energy(x, **{name: context[name] for name in energy.context}) / t  # type: ignore[union-attr]
            for energy, t in zip(self.energies, self.temperatures, strict=True)
        ]


class Product(_Composed):
    """p ∝ Π p_i^w_i, see ``_Composed``."""

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        parts = self.parts(x, context)
        return self.temperature * torch.stack([w * e for w, e in zip(self.weights, parts, strict=True)]).sum(0)


class MixtureOfEnergies(_Composed):
    """p = Σ w_i p_i / Σ w_i, see ``_Composed``.

    Args:
        energies, weights, temperatures, temperature: as there; weights are positive.
        log_z: log Z_i at T_i, each up to one common constant.

    Raises:
        ValueError: when a weight is not positive, or numbers do not fit.
    """

    def __init__(
        self,
        energies: Sequence[Energy],
        weights: Sequence[float],
        temperatures: Sequence[float],
        temperature: float,
        log_z: Sequence[float],
    ) -> None:
        super().__init__(energies, weights, temperatures, temperature)
        if len(log_z) != len(energies):
            raise ValueError(f"log_z: needs one for each of the {len(energies)} energies, got {len(log_z)}")
        if min(weights) <= 0:
            raise ValueError(f"weights: must be > 0 in a mixture, got {list(weights)}")
        self.log_w: Tensor
        self.register_buffer("log_w", torch.tensor(weights).log() - torch.tensor(log_z), persistent=False)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        parts = torch.stack(self.parts(x, context), 1)
        return -self.temperature * torch.logsumexp(self.log_w - parts, 1)
