"""Contrastive divergence: lower the energy of data, raise the energy of samples of the model.

∇θ L = E_data[∇θ E(x⁺)] − E_q[∇θ E(x⁻)],  q: the distribution of chains after K steps       (Hinton 2002)

With q = p_θ this is the gradient of the negative log-likelihood at T = 1. Three choices of where chains start:

    CD          at the data of the batch, here                                   (Hinton 2002)
    PCD         where earlier chains ended, a replay buffer; ``pcd.py``          (Tieleman 2008; Du & Mordatch 2019)
    ShortRun    always at noise; ``short_run.py``                                (Nijkamp et al. 2019)

A term of ``terms`` that reads the ends of chains as functions of θ makes improved contrastive divergence of any of
them (Du et al. 2021; ``kl.py``, ``entropy.py``).
"""

from abc import abstractmethod
from typing import Annotated, NamedTuple, Required, TypedDict

import torch
from torch import Tensor

from ebm_exp.buffer.base import BufferDraw
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Engine, Run
from ebm_exp.engine.target import Target
from ebm_exp.metrics import ENERGY_GAP, ENERGY_NEG, ENERGY_POS
from ebm_exp.objective.base import Loss, Objective
from ebm_exp.objective.chain_signals import CHAIN_RULES, chain_signals
from ebm_exp.random import Source
from ebm_exp.random import generator as derived_generator
from ebm_exp.regularization.base import End, Phase, Step, Term, Terms
from ebm_exp.sampler.base import Sampler, describe_temperature
from ebm_exp.sampler.chain import Chain
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, From, Points, Positive, Provided

BLOCK = 256  # chains that make their first passage together


class Given(NamedTuple):
    """What the loss is computed of."""

    batch: Points
    negatives: Points
    end: End | None  # of chains, where a term reads it as a function of θ


class Kept(NamedTuple):
    """What is remembered once the loss is known."""

    start: Points | BufferDraw
    chain: Chain


class ChainOptions(TypedDict, total=False):
    """What every contrastive divergence is made of.

    Attributes:
        engine: runs the chains.
        sampler: the kernel, with its chain length.
        regularization: terms beside the loss.
        domain: of the data; chains that heap up at its boundary are a symptom.
        terms: terms that belong to the objective: ``kl``, ``entropy``.
        suggested_temperature: T for a kernel that has none of its own.
    """

    engine: Required[Provided[Engine]]
    sampler: Required[Provided[Sampler]]
    regularization: Required[Provided[dict[str, Term]]]
    domain: Required[Annotated[Domain, From("dataset.domain")]]
    terms: dict[str, Term] | None
    suggested_temperature: Annotated[Positive, From("suggest.temperature")]


class ContrastiveDivergence(Objective):
    """The loss; subclasses say where its negatives come from.

    Args:
        engine, sampler, regularization, domain, terms, suggested_temperature: see ``ChainOptions``.

    Raises:
        ValueError: when a term needs what the objective or the kernel does not give.
    """

    gives = frozenset({"negative", "end", "labels"})
    rules = CHAIN_RULES

    def __init__(
        self,
        engine: Provided[Engine],
        sampler: Provided[Sampler],
        regularization: Provided[dict[str, Term]],
        domain: Annotated[Domain, From("dataset.domain")],
        terms: dict[str, Term] | None = None,
        suggested_temperature: Annotated[Positive, From("suggest.temperature")] = 1.0,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.sampler = sampler
        self.domain = domain
        self._start_variance: Tensor | None = None  # where new chains begin, for signals
        terms = terms or {}
        twice = sorted(set(terms) & set(regularization))
        if twice:
            raise ValueError(f"terms: {twice[0]} is the name of a term of regularization too; rename one")
        self.terms = Terms(type(self).__name__.lower(), self.gives, terms | regularization)
        self.temperature = suggested_temperature if sampler.temperature is None else sampler.temperature
        self.clamped = sampler.clamped
        for key, term in self.terms.items():
            if "end" in term.needs and sampler.binary:
                raise ValueError(f"{key}: needs a continuous sampler, {type(sampler).__name__} is binary")
            if term.through is not None and term.through > sampler.n_steps:
                raise ValueError(
                    f"{key}: through must be at most sampler.n_steps, {sampler.n_steps}, got {term.through}"
                )
        every = [term for _, term in self.terms.items()]
        reading = [term for term in every if "end" in term.needs]
        self.through = max((sampler.n_steps if t.through is None else t.through for t in reading), default=0)
        self.pure = self.terms.pure and not reading and all("buffer" not in term.needs for term in every)
        chains = [term.through_chains for term in reading]
        self.through_chains = None if None in chains or not chains else max(n for n in chains if n is not None)

    def describe(self) -> dict[str, str]:
        chain = f"{type(self.sampler).__name__}, {self.sampler.n_steps} steps; "
        chain += describe_temperature(self.sampler, self.temperature)
        return {"chain": chain, **self.terms.describe("cd")}

    @abstractmethod
    def start(self, batch: Points, generator: torch.Generator) -> Points | BufferDraw:
        """Where the chains of one step start, and the labels they run under."""

    def store(self, start: Points | BufferDraw, x: Batch) -> dict[str, Tensor]:
        """Take in where the chains ended, once the loss is known; returns metrics."""
        return {}

    def gather(self, energy: Energy, batch: Points, step: int, generator: torch.Generator) -> tuple[Given, Kept]:
        start = self.start(batch, generator)
        target = self.engine.target(energy)
        how = Run(self.temperature, through=self.through, through_chains=self.through_chains)
        chain = self.engine.run(self.sampler, target, start.x, generator, how, y=start.y)
        given = Given(batch, Points(chain.x, start.y), self._end(target, chain, start.y))
        return given, Kept(start, chain)

    def loss(self, energy: Energy, given: Given, source: Source) -> Loss:
        pos, neg = self._phases(energy, given.batch, given.negatives)
        now = self.step(Step(pos, self.engine, source, neg, given.end))
        values = {"cd": pos.e - neg.e} | self.terms(now)
        e_pos, e_neg = pos.e.detach(), neg.e.detach()
        metrics = {
            ENERGY_POS: e_pos.mean(),
            ENERGY_NEG: e_neg.mean(),
            ENERGY_GAP: e_neg.mean() - e_pos.mean(),
            **now.metrics,
        }
        points = {"data": given.batch.x, "negatives": given.negatives.x}
        return Loss(values, metrics, {"data": e_pos, "negatives": e_neg}, points)

    def step(self, now: Step) -> Step:
        """What terms may look at: a step with what a subclass has beside."""
        return now

    @torch.no_grad()
    def settle(self, kept: Kept, loss: Loss) -> Loss:
        start, chain = kept
        if chain.info is not None:
            self.sampler.learn(chain.info)
        metrics = loss.metrics | ({} if chain.info is None else chain.info.metrics()) | self.store(start, chain.x)
        return loss._replace(metrics=metrics, points={**loss.points, "begins": start.x})

    def signals(self, loss: Loss) -> dict[str, Tensor]:
        if self._start_variance is None and (start := self.begins_at()) is not None:
            x = start.draw(BLOCK, derived_generator(loss.points["data"].device, "guard")).x
            self._start_variance = x.flatten(1).var(0).mean()
        return chain_signals(loss, self.temperature, self.domain, self._start_variance)

    def begins_at(self) -> Start | None:
        """Where new chains begin; None: at the data."""
        return None

    def _phases(self, energy: Energy, positive: Points, negative: Points) -> tuple[Phase, Phase]:
        # One forward pass for both: half the calls, and one power iteration of spectral norms per step.
        y = None if positive.y is None or negative.y is None else torch.cat([positive.y, negative.y])
        e_pos, e_neg = energy.bind(y=y)(torch.cat([positive.x, negative.x])).chunk(2)
        pos = Phase(positive.x, e_pos, energy.bind(y=positive.y), positive.y)
        return pos, Phase(negative.x, e_neg, energy.bind(y=negative.y), negative.y)

    def _end(self, target: Target, chain: Chain, y: Tensor | None) -> End | None:
        if chain.end is None:
            return None
        return End(chain.end, target.bind(y=None if y is None else y[: len(chain.end)]))


class CD(ContrastiveDivergence):
    """Chains start at the data."""

    def start(self, batch: Points, generator: torch.Generator) -> Points:
        return batch
