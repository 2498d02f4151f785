"""Energy discrepancy: data against what a blur makes of it and back, by energies alone.

L = mean log(w/M + (1/M) Σ_j exp(E(x) − E(x_j))),   z ~ q(· | x),   x_1 … x_M ~ q(· | z)
                                                     (Schröder et al. 2023, NeurIPS, arXiv 2307.06431)

q is symmetric, q(z | x) = q(x | z), and z is shared by the M points: a step of noise and steps back. Neither a chain
nor a gradient in x is needed.

    EnergyDiscrepancy         Gaussian noise of width √t, reflected at the walls of the box
    BinaryEnergyDiscrepancy   each component flips with probability ε      (Schröder et al. 2024, arXiv 2412.01019)

Small noise makes it score matching, large noise maximum likelihood. With w = 1 it is, up to log M,
the cross-entropy of finding x among x, x_1 … x_M by −E. Given z these are of the densities p(x) q(z | x) and
q(x_j | z) = q(z | x_j), so the odds of being the data are p alone, whatever M: the best energy is −log p exactly.
"""

import math
from abc import abstractmethod
from typing import Annotated

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.metrics import ENERGY_NEG, ENERGY_POS
from ebm_exp.objective.base import Loss, Objective
from ebm_exp.objective.chance import CHANCE_RULES, against_chance, tell_easy
from ebm_exp.random import Source, normal_like, uniform
from ebm_exp.regularization.base import Phase, Step, Term, Terms
from ebm_exp.types import Batch, From, NonNegative, Points, Positive, PositiveInt, Probability, Provided


class Discrepancy(Objective):
    """The loss; subclasses say what noise is. Samples that terms of regularization read are the points x_1.

    Args:
        engine: what terms differentiate energies with.
        regularization: terms beside the loss.
        domain: of the data.
        n_negatives: M.
        stabilizer: w; 1 has the right optimum at every M, 0 is unbiased only as M grows.

    Raises:
        ValueError: when a term needs chains.
    """

    gives = frozenset({"negative", "labels"})
    rules = (
        *CHANCE_RULES,
        tell_easy(
            "what noise makes of a point",
            ("noise that leads far away from all data",),
            ("a smaller objective.scale", "a smaller objective.flip_probability", "more objective.n_negatives"),
        ),
    )
    name: str

    def __init__(
        self,
        engine: Provided[Engine],
        regularization: Provided[dict[str, Term]],
        domain: Annotated[Domain, From("dataset.domain")],
        n_negatives: PositiveInt,
        stabilizer: NonNegative = 1.0,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.terms = Terms(self.name, self.gives, regularization)
        self.pure = self.terms.pure
        self.domain = domain
        self.n_negatives = n_negatives
        self.stabilizer = stabilizer

    def describe(self) -> dict[str, str]:
        return self.terms.describe("energy_discrepancy")

    @abstractmethod
    def perturb(self, x: Batch, source: Source) -> Batch:
        """One draw of q(· | x) for each point ``[batch, *event]``."""

    def loss(self, energy: Energy, batch: Points, source: Source) -> Loss:
        (x, y), n, m = batch, len(batch.x), self.n_negatives
        x_neg = self.perturb(self.perturb(x, source).repeat_interleave(m, 0), source)
        labels = None if y is None else torch.cat([y, y.repeat_interleave(m)])
        e_pos, e_neg = energy.bind(y=labels)(torch.cat([x, x_neg])).split([n, n * m])
        log_w = math.log(self.stabilizer) if self.stabilizer else -math.inf
        exponents = torch.cat([torch.full_like(e_pos, log_w).unsqueeze(1), e_pos.unsqueeze(1) - e_neg.view(n, m)], 1)
        values = {"energy_discrepancy": exponents.logsumexp(1) - math.log(m)}
        if self.terms:
            at_data = energy.bind(y=y)
            now = Step(Phase(x, e_pos, at_data, y), self.engine, source, Phase(x_neg[::m], e_neg[::m], at_data, y))
            values |= self.terms(now)
        e_pos, e_neg = e_pos.detach(), e_neg.detach()
        metrics = {ENERGY_POS: e_pos.mean(), ENERGY_NEG: e_neg.mean()}
        return Loss(values, metrics, {"data": e_pos, "perturbed": e_neg})

    def signals(self, loss: Loss) -> dict[str, Tensor]:
        # The loss is log((w + Σ)/M); log((w + Σ)/w), for w = 1 the cross-entropy, is never negative.
        shift = math.log(self.n_negatives) - math.log(self.stabilizer or 1.0)
        chance = math.log(self.n_negatives + self.stabilizer) - math.log(self.stabilizer or 1.0)
        return against_chance(loss.terms["energy_discrepancy"] + shift, chance)


class EnergyDiscrepancy(Discrepancy):
    """Gaussian noise, for points of a continuous box.

    Reflection at the walls keeps points in the box and the noise symmetric. Noise much wider than the box is uniform.

    Args:
        engine, regularization, domain, n_negatives, stabilizer: see ``Discrepancy``.
        scale: √t in half widths of the domain, about the distance of modes.
    """

    name = "energy_discrepancy"
    requires = "continuous"

    def __init__(
        self,
        engine: Provided[Engine],
        regularization: Provided[dict[str, Term]],
        domain: Annotated[Domain, From("dataset.domain")],
        n_negatives: PositiveInt = 4,
        scale: Positive = 0.5,
        stabilizer: NonNegative = 1.0,
    ) -> None:
        super().__init__(engine, regularization, domain, n_negatives, stabilizer)
        self.scale = scale

    def perturb(self, x: Batch, source: Source) -> Batch:
        noise = normal_like(x, source)
        return self.domain.reflect(x + self.scale * self.domain.half_width * noise)[0]


class BinaryEnergyDiscrepancy(Discrepancy):
    """Flips, for points of two levels.

    Args:
        engine, regularization, domain, n_negatives, stabilizer: see ``Discrepancy``.
        flip_probability: ε; where many components flip, points are told too easily to teach much.
    """

    name = "energy_discrepancy_binary"
    requires = "binary"

    def __init__(
        self,
        engine: Provided[Engine],
        regularization: Provided[dict[str, Term]],
        domain: Annotated[Domain, From("dataset.domain")],
        n_negatives: PositiveInt = 32,
        flip_probability: Probability = 0.005,
        stabilizer: NonNegative = 1.0,
    ) -> None:
        super().__init__(engine, regularization, domain, n_negatives, stabilizer)
        self.flip_probability = flip_probability

    def perturb(self, x: Batch, source: Source) -> Batch:
        flips = uniform(x.shape, source, x.device) < self.flip_probability
        return torch.where(flips, self.domain.low + self.domain.high - x, x)
