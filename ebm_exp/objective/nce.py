"""Noise-contrastive estimation: a classifier that tells data from noise of known density, and so learns log Z.

r(x) = −E(x) − c − log q(x) − log ν,   L = −mean log σ(r(x⁺)) − ν mean log σ(−r(x⁻)),   x⁻ ~ q
                                                               (Gutmann & Hyvärinen 2012, JMLR 13)

c is a parameter, ν the number of noise points for each point of data. The best classifier has exp(−E − c) = p_data, so
c is log Z of the energy at T = 1. No chain runs; the nearer q is to the data, the more a point tells.

On the domain: noise of q may leave the box, where no density is meant. Such points count nothing. What is left has the
intensity ν q(x) on the box, q not normalised anew, and the best classifier is that of exp(−E − c) on the box.
"""

import math
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.metrics import ENERGY_NEG, ENERGY_POS, LOG_Z
from ebm_exp.objective.base import Loss, Objective
from ebm_exp.objective.chance import CHANCE_RULES, against_chance, tell_easy
from ebm_exp.random import Source, draw_rows
from ebm_exp.random import generator as derived_generator
from ebm_exp.regularization.base import Phase, Step, Term, Terms
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, From, Points, Positive, PositiveInt, Provided


class NCE(Objective):
    """The loss. Samples that terms of regularization read are its noise.

    Of an energy with labels, noise has labels of the data's distribution, and c is log Z of every class.

    Args:
        engine: what terms differentiate energies with.
        start: the noise, of known density q.
        regularization: terms beside the loss.
        domain: of the data.
        n_noise: ν, noise points for each point of data.
        lr_log_z: learning rate of c.

    Raises:
        ValueError: when the density of the noise is not known, or a term needs chains.
    """

    gives = frozenset({"negative", "labels"})
    rules = (
        *CHANCE_RULES,
        tell_easy(
            "the noise",
            ("noise that lies far from the data", "too many dimensions for noise of this kind"),
            (
                *("start@objective.start=mixture", "a smaller objective.start.variance_floor"),
                *("more objective.start.n_components", "more objective.n_noise"),
            ),
        ),
    )
    requires = "continuous"  # on two levels a density on the box means nothing

    def __init__(
        self,
        engine: Provided[Engine],
        start: Start,
        regularization: Provided[dict[str, Term]],
        domain: Annotated[Domain, From("dataset.domain")],
        n_noise: PositiveInt = 1,
        lr_log_z: Positive = 0.01,
    ) -> None:
        super().__init__()
        if not start.has_density:
            raise ValueError(f"start: needs a known density (mixture, uniform), that of {start.name} is not known")
        self.engine = engine
        self.noise = start
        self.terms = Terms("nce", self.gives, regularization)
        self.pure = self.terms.pure
        self.domain = domain
        self.n_noise = n_noise
        self.lr_log_z = lr_log_z
        volume = math.prod(domain.event_shape) * math.log(domain.high - domain.low)
        self.log_z = nn.Parameter(torch.tensor(volume))  # c: that of E = 0 at first

    def describe(self) -> dict[str, str]:
        noise = f"{self.noise.name}, {self.n_noise} for each point of data"
        return {"noise": noise, **self.terms.describe("nce")}

    def parameter_groups(self, energy: Energy) -> list[dict[str, object]]:
        of_energy = [p for p in energy.parameters() if p.requires_grad]
        return [{"params": of_energy}, {"params": [self.log_z], "lr": self.lr_log_z}]

    def panels(self, n: int) -> dict[str, Points]:
        return {"noise": self.noise.draw(n, derived_generator(self.log_z.device, "panel of noise"))}

    def loss(self, energy: Energy, batch: Points, source: Source) -> Loss:
        x, n = batch.x, len(batch.x)
        noise = draw_rows(n * self.n_noise, source, self.noise.draw)
        y = None if batch.y is None or noise.y is None else torch.cat([batch.y, noise.y])
        e_pos, e_neg = energy.bind(y=y)(torch.cat([x, noise.x])).split([n, n * self.n_noise])
        missed = softplus(-self.log_ratio(x, e_pos))
        taken = softplus(self.log_ratio(noise.x, e_neg))
        inside = ((noise.x - self.domain.centre).abs() <= self.domain.half_width).flatten(1).all(1)
        values = {"nce": missed + torch.where(inside, taken, 0.0).view(n, self.n_noise).sum(1)}
        if self.terms:
            y_pos, y_neg = (None, None) if y is None else (y[:n], y[n :: self.n_noise])
            one = slice(None, None, self.n_noise)  # noise point for each of the data
            now = Step(
                Phase(x, e_pos, energy.bind(y=y_pos), y_pos), self.engine, source,
                Phase(noise.x[one], e_neg[one], energy.bind(y=y_neg), y_neg),
            )  # fmt: skip
            values |= self.terms(now)
        e_pos, e_neg = e_pos.detach(), e_neg.detach()
        metrics = {
            ENERGY_POS: e_pos.mean(),
            ENERGY_NEG: e_neg.mean(),
            LOG_Z: self.log_z.detach().clone(),
        }
        return Loss(values, metrics, {"data": e_pos, "noise": e_neg})

    def log_ratio(self, x: Batch, e: Tensor) -> Tensor:
        """r ``[batch]``, the log-odds of data against noise at points ``[batch, *event]`` of energies ``[batch]``."""
        return -e - self.log_z - self.noise.log_prob(x).to(e.dtype) - math.log(self.n_noise)

    def signals(self, loss: Loss) -> dict[str, Tensor]:
        nu = self.n_noise
        return against_chance(loss.terms["nce"], math.log(1 + nu) + nu * math.log(1 + 1 / nu))
