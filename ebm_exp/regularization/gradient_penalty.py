"""Gradient penalty: keeps the energy's slope small, or near a target, where it matters.

w · |∇E(x)|²            target 0, on data: R₁; on samples: R₂            (Mescheder et al. 2018, Eqs. 9, 10, w = γ/2)
w · (|∇E(x̂)| − c)²      between, x̂ = u x⁺ + (1 − u) x⁻, u ~ U(0, 1), c = 1       (Gulrajani et al. 2017, Eq. 3)
"""

from typing import Literal

import torch

from ebm_exp.energy.base import energy_gradient
from ebm_exp.regularization.base import Regularization, Side
from ebm_exp.types import NonNegative, PerSample


class GradientPenalty(Regularization):
    """Penalises the L2 norm of ∇E; costs one more forward pass and a double backward pass per step.

    Args:
        weight: w.
        where: at the ``data``, at the ``samples``, or ``between`` the two (under the labels of the data).
        target: c, the slope that costs nothing, in nats per unit of the domain.
    """

    def __init__(
        self, weight: NonNegative, where: Literal["data", "samples", "between"] = "data", target: NonNegative = 0.0
    ) -> None:
        self.weight, self.where, self.target = weight, where, target

    def penalty(self, pos: Side, neg: Side, generator: torch.Generator) -> PerSample:
        x, energy = (neg.x, neg.energy) if self.where == "samples" else (pos.x, pos.energy)
        if self.where == "between":
            u = torch.rand(len(x), generator=generator, device=x.device).view(-1, *[1] * (x.dim() - 1))
            x = torch.lerp(neg.x, pos.x, u)
        _, gradient = energy_gradient(energy, x.detach().requires_grad_())
        if self.target == 0:  # the norm itself has no slope at 0
            return self.weight * gradient.flatten(1).square().sum(1)
        return self.weight * (gradient.flatten(1).norm(dim=1) - self.target).square()
