"""Gradient penalty: keeps the energy's slope small, or near a target, where it matters.

w · |∇E(x)|²            target 0, on data: R₁; on samples: R₂            (Mescheder et al. 2018, Eqs. 9, 10, w = γ/2)
w · (|∇E(x̂)| − c)²      between, x̂ = u x⁺ + (1 − u) x⁻, u ~ U(0, 1), c = 1       (Gulrajani et al. 2017, Eq. 3)
"""

from typing import Literal

import torch

from ebm_exp.random import uniform
from ebm_exp.regularization.base import Step, Term
from ebm_exp.types import NonNegative, PerSample, per_point


class GradientPenalty(Term):
    """Penalises the L2 norm of ∇E; costs one more forward pass and a double backward pass per step.

    Args:
        weight: w.
        where: at the ``data``, at the ``samples``, or ``between`` the two (under the labels of the data).
        target: c, the slope that costs nothing, in nats per unit of the domain.
    """

    pure = True

    def __init__(
        self, weight: NonNegative, where: Literal["data", "samples", "between"] = "data", target: NonNegative = 0.0
    ) -> None:
        self.weight = weight
        self.where = where
        self.target = target
        self.needs = frozenset() if where == "data" else frozenset({"negative"})

    def __call__(self, now: Step) -> PerSample:
        pos, neg = now.positive, now.negative
        x, energy = pos.x, pos.energy
        if neg is not None and self.where == "samples":
            x, energy = neg.x, neg.energy
        elif neg is not None and self.where == "between":
            u = uniform((len(x),), now.source, x.device).to(x.dtype)
            x = torch.lerp(neg.x, pos.x, per_point(u, x))
        gradient = now.engine.gradient(energy, x, create_graph=True)
        if self.target == 0:  # the norm itself has no slope at 0
            return self.weight * gradient.flatten(1).square().sum(1)
        return self.weight * (gradient.flatten(1).norm(dim=1) - self.target).square()
