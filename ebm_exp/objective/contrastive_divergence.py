"""Contrastive divergence: lower the energy of data, raise the energy of samples of the model.

∇θ L = E_data[∇θ E(x⁺)] − E_q[∇θ E(x⁻)],  q: the law of chains of K steps            (Hinton 2002)

With q = p_θ this is the gradient of the negative log-likelihood at T = 1. Three choices of where chains start:

    CD          at the data of the batch                                             (Hinton 2002)
    PCD         where earlier chains ended, a replay buffer         (Tieleman 2008; Du & Mordatch 2019)
    ShortRun    always at noise                                                (Nijkamp et al. 2019)
"""

from abc import abstractmethod

import torch

from ebm_exp.buffer import Buffer
from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Energy
from ebm_exp.energy.base import context_of
from ebm_exp.objective.base import Objective, ObjectiveOutput
from ebm_exp.regularization import Combined
from ebm_exp.sampler.base import Chain, Sampler, run_chain
from ebm_exp.types import Batch, EnergyFn, Minibatch


class _ContrastiveDivergence(Objective):
    def __init__(self, sampler: Sampler, regularization: Combined) -> None:
        self.sampler, self.regularization = sampler, regularization

    @abstractmethod
    def negatives(self, energy: EnergyFn, x_pos: Batch, generator: torch.Generator) -> Chain:
        """Chains of the model, as many as there are data points."""

    def __call__(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> ObjectiveOutput:
        context = context_of(energy, y=batch.y)
        x_pos = batch.x
        chain = self.negatives(energy.condition(**context), x_pos, generator)
        x_neg = chain.x
        # One forward pass for both: half the calls, and one power iteration of spectral norms per step.
        both = {name: torch.cat([value, value]) for name, value in context.items()}
        e_pos, e_neg = energy(torch.cat([x_pos, x_neg]), **both).chunk(2)
        loss = e_pos - e_neg + self.regularization.penalty(energy, x_pos, x_neg, e_pos, e_neg)
        e_pos, e_neg = e_pos.detach(), e_neg.detach()
        metrics = {
            "train/loss": loss.detach().mean(),
            "train/energy_pos": e_pos.mean(),
            "train/energy_neg": e_neg.mean(),
            "train/energy_gap": e_neg.mean() - e_pos.mean(),
        }
        if chain.info is not None:
            metrics |= chain.info.metrics()
        if self.buffer is not None:
            metrics |= self.buffer.metrics()
        return ObjectiveOutput(loss, metrics, x_pos, x_neg, e_pos, e_neg)


class CD(_ContrastiveDivergence):
    """Chains start at the data."""

    def negatives(self, energy: EnergyFn, x_pos: Batch, generator: torch.Generator) -> Chain:
        return run_chain(self.sampler, energy, x_pos, generator)


class PCD(_ContrastiveDivergence):
    """Chains go on from a replay buffer."""

    def __init__(self, sampler: Sampler, buffer: Buffer, regularization: Combined) -> None:
        super().__init__(sampler, regularization)
        self.buffer: Buffer = buffer

    def negatives(self, energy: EnergyFn, x_pos: Batch, generator: torch.Generator) -> Chain:
        start = self.buffer.draw(len(x_pos), generator)
        chain = run_chain(self.sampler, energy, start.x, generator)
        self.buffer.store(start, chain.x)
        return chain


class ShortRun(_ContrastiveDivergence):
    """Chains start at uniform noise, every time."""

    def __init__(self, sampler: Sampler, dataset: Dataset, regularization: Combined) -> None:
        super().__init__(sampler, regularization)
        self.domain = dataset.domain

    def negatives(self, energy: EnergyFn, x_pos: Batch, generator: torch.Generator) -> Chain:
        return run_chain(self.sampler, energy, self.domain.uniform(len(x_pos), generator), generator)
