"""Contrastive divergence: lower the energy of data, raise the energy of samples of the model.

∇θ L = E_data[∇θ E(x⁺)] − E_q[∇θ E(x⁻)],  q: the distribution of chains of K steps            (Hinton 2002)

With q = p_θ this is the gradient of the negative log-likelihood at T = 1. Three choices of where chains start:

    CD          at the data of the batch                                             (Hinton 2002)
    PCD         where earlier chains ended, a replay buffer         (Tieleman 2008; Du & Mordatch 2019)
    ShortRun    always at noise                                                (Nijkamp et al. 2019)
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_exp.buffer import Buffer
from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Energy
from ebm_exp.energy.base import context_of
from ebm_exp.objective.base import Objective, ObjectiveOutput
from ebm_exp.regularization import Combined, Side
from ebm_exp.sampler.base import Chain, Sampler, run_chain
from ebm_exp.types import Batch, Minibatch


class Negatives(NamedTuple):
    """Samples of the model, as many as there are data points."""

    chain: Chain
    y: Tensor | None  # [batch], the labels they were drawn under
    loss: Tensor | None = None  # [batch], with a graph: what a chain itself has to learn
    metrics: dict[str, Tensor] | None = None  # of that loss


class ContrastiveDivergence(Objective):
    """The loss; subclasses say where its negatives come from.

    Args:
        sampler: the kernel, with its chain length.
        regularization: terms beside the loss.
    """

    def __init__(self, sampler: Sampler, regularization: Combined) -> None:
        self.sampler, self.regularization = sampler, regularization

    @abstractmethod
    def negatives(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> Negatives:
        """Run the chains of one step."""

    def _run(self, energy: Energy, start: Batch, y: Tensor | None, generator: torch.Generator) -> Negatives:
        chain = run_chain(self.sampler, energy.condition(**context_of(energy, y=y)), start, generator)
        if chain.info is not None:
            self.sampler.learn(chain.info)
        return Negatives(chain, y)

    def __call__(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> ObjectiveOutput:
        negatives = self.negatives(energy, batch, generator)
        x_pos, x_neg = batch.x, negatives.chain.x
        at_pos, at_neg = context_of(energy, y=batch.y), context_of(energy, y=negatives.y)
        # One forward pass for both: half the calls, and one power iteration of spectral norms per step.
        both = {name: torch.cat([at_pos[name], at_neg[name]]) for name in at_pos}
        e_pos, e_neg = energy(torch.cat([x_pos, x_neg]), **both).chunk(2)
        pos = Side(x_pos, e_pos, energy.condition(**at_pos))
        neg = Side(x_neg, e_neg, energy.condition(**at_neg))
        loss = e_pos - e_neg + self.regularization.penalty(pos, neg, generator)
        if negatives.loss is not None:
            loss = loss + negatives.loss
        e_pos, e_neg = e_pos.detach(), e_neg.detach()
        metrics = {
            "train/loss": loss.detach().mean(),
            "train/energy_pos": e_pos.mean(),
            "train/energy_neg": e_neg.mean(),
            "train/energy_gap": e_neg.mean() - e_pos.mean(),
        }
        metrics |= negatives.metrics or {}
        if negatives.chain.info is not None:
            with torch.no_grad():
                metrics |= negatives.chain.info.metrics()
        if self.buffer is not None:
            metrics |= self.buffer.metrics()
        return ObjectiveOutput(loss, metrics, x_pos, x_neg, e_pos, e_neg)


class CD(ContrastiveDivergence):
    """Chains start at the data."""

    def negatives(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> Negatives:
        return self._run(energy, batch.x, batch.y, generator)


class PCD(ContrastiveDivergence):
    """Chains go on from a replay buffer, under the labels they began with."""

    def __init__(self, sampler: Sampler, buffer: Buffer, regularization: Combined) -> None:
        super().__init__(sampler, regularization)
        self.buffer: Buffer = buffer

    def negatives(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> Negatives:
        start = self.buffer.draw(len(batch.x), generator)
        negatives = self._run(energy, start.x, start.y, generator)
        self.buffer.store(start, negatives.chain.x)
        return negatives


class ShortRun(ContrastiveDivergence):
    """Chains start at uniform noise, every time."""

    def __init__(self, sampler: Sampler, dataset: Dataset, regularization: Combined) -> None:
        super().__init__(sampler, regularization)
        self.domain = dataset.domain

    def negatives(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> Negatives:
        return self._run(energy, self.domain.uniform(len(batch.x), generator), batch.y, generator)
