"""Losses of points of two levels that compare each with its neighbours, one flip away: no Z, no chains.

x₍ᵢ₎ is x with component i flipped, and u_i = E(x) − E(x₍ᵢ₎), so p(x₍ᵢ₎)/p(x) = exp(u_i) and p(x_i | x₋ᵢ) = σ(−u_i).
A loss Σ_i ℓ(u_i) over all d components takes d + 1 energies; over k of them, chosen anew for each point and step, (d/k)
Σ_i ℓ(u_i) has the same mean.
"""

import math
from abc import abstractmethod
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.metrics import ENERGY_NEG, ENERGY_POS
from ebm_exp.objective.base import Loss, Objective
from ebm_exp.objective.chance import CHANCE_RULES, against_chance
from ebm_exp.random import Source, uniform
from ebm_exp.regularization.base import Phase, Step, Term, Terms
from ebm_exp.types import Batch, From, Points, PositiveInt, Provided


class SingleFlips(Objective):
    """Σ_i ℓ(u_i); subclasses give ℓ. Terms of regularization read data alone.

    Args:
        engine: what terms differentiate energies with.
        regularization: terms beside the loss.
        domain: its ends are the two levels.
        n_bits: k, components that are flipped for each point; null: all.

    Raises:
        ValueError: when there are fewer components than ``n_bits``, or a term needs samples.
    """

    gives = frozenset({"labels"})
    rules = CHANCE_RULES
    requires = "binary"
    name: str
    chance: float  # ℓ(0)

    def __init__(
        self,
        engine: Provided[Engine],
        regularization: Provided[dict[str, Term]],
        domain: Annotated[Domain, From("dataset.domain")],
        n_bits: PositiveInt | None = None,
    ) -> None:
        super().__init__()
        self.d = math.prod(domain.event_shape)
        if n_bits is not None and n_bits > self.d:
            raise ValueError(f"n_bits: must be at most {self.d}, the components of a point, got {n_bits}")
        self.engine = engine
        self.terms = Terms(self.name, self.gives, regularization)
        self.pure = self.terms.pure
        self.domain = domain
        self.n_bits = self.d if n_bits is None else n_bits

    def describe(self) -> dict[str, str]:
        return {"flips": f"{self.n_bits} of {self.d} components", **self.terms.describe(self.name)}

    @abstractmethod
    def of_flip(self, u: Tensor) -> Tensor:
        """ℓ(u), element by element."""

    def loss(self, energy: Energy, batch: Points, source: Source) -> Loss:
        (x, y), n, k = batch, len(batch.x), self.n_bits
        near = self.neighbours(x, source).flatten(0, 1)
        labels = None if y is None else torch.cat([y, y.repeat_interleave(k)])
        e, e_near = energy.bind(y=labels)(torch.cat([x, near])).split([n, n * k])
        u = e.unsqueeze(1) - e_near.view(n, k)
        values = {self.name: self.of_flip(u).mean(1) * self.d}
        if self.terms:
            now = Step(Phase(x, e, energy.bind(y=y), y), self.engine, source)
            values |= self.terms(now)
        e, e_near = e.detach(), e_near.detach()
        metrics = {ENERGY_POS: e.mean(), ENERGY_NEG: e_near.mean()}
        return Loss(values, metrics, {"data": e, "flipped": e_near})

    def neighbours(self, x: Batch, source: Source) -> Float[Tensor, "batch k *event"]:
        """x₍ᵢ₎ for k random components i of each point."""
        order = uniform((len(x), self.d), source, x.device)
        which = order.topk(self.n_bits, 1).indices.unsqueeze(2)  # [batch, k, 1]
        flat = x.flatten(1).unsqueeze(1).expand(-1, self.n_bits, -1)
        flipped = self.domain.low + self.domain.high - flat.gather(2, which)
        return flat.scatter(2, which, flipped).view(len(x), self.n_bits, *x.shape[1:])

    def signals(self, loss: Loss) -> dict[str, Tensor]:
        return against_chance(loss.terms[self.name], self.d * self.chance)
