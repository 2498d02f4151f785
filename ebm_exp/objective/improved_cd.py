"""Improved contrastive divergence (Du, Li, Tenenbaum & Mordatch, ICML 2021; arXiv 2012.01316).

The gradient of contrastive divergence has a third term, which is usually left out: x⁻ ~ q_θ depends on θ through the
chain that made it,

    L = E(x⁺) − E(x⁻) + w_KL · Ē(x⁻(θ)) − w_H · log r(x⁻(θ)).

The last two descend KL(q_θ ‖ p_θ), energy less entropy: Ē is the energy with its parameters held, x⁻(θ) the end of a
chain with θ in its last steps, log r the entropy by nearest neighbours (``entropy.py``) among ends of earlier chains.
The KL is that at T = 1, whatever the chain's noise, as published. Each held chain is augmented before it goes on (the
buffer's ``augmentation``).

Their code (yilundu/improved_contrastive_divergence) lets the gradient through one step also when it is asked for all:
it detaches every step's end. Here ``kl_steps`` are as many as it says.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from ebm_exp.buffer import Buffer
from ebm_exp.energy import Energy
from ebm_exp.energy.base import context_of, frozen
from ebm_exp.objective.contrastive_divergence import ContrastiveDivergence, Negatives
from ebm_exp.objective.entropy import NearestNeighbour
from ebm_exp.regularization import Combined
from ebm_exp.sampler.base import Sampler
from ebm_exp.sampler.through import run_through
from ebm_exp.types import EnergyFn, Minibatch, NonNegative, PerSample, PositiveInt


class ImprovedCD(ContrastiveDivergence):
    """Persistent chains that also learn to lower the energy, and to keep apart, by their last steps.

    Args:
        sampler: the kernel, one whose steps can be differentiated.
        buffer: where chains go on from.
        regularization: terms beside the loss.
        kl_weight: w_KL.
        entropy_weight: w_H; with both 0 this is PCD, at its cost.
        kl_batch: of so many chains, the first ones of each step, both terms are means; null: of all.
        kl_steps: the gradient goes through so many steps, the last ones; null: through all.
        entropy: the estimate of the entropy.

    Raises:
        ValueError: when the chain has fewer steps, moves in flips, or the buffer is too small for the estimate.
    """

    def __init__(
        self,
        sampler: Sampler,
        buffer: Buffer,
        regularization: Combined,
        entropy: NearestNeighbour,
        kl_weight: NonNegative = 1.0,
        entropy_weight: NonNegative = 0.3,
        kl_batch: PositiveInt | None = None,
        kl_steps: PositiveInt | None = 1,
    ) -> None:
        super().__init__(sampler, regularization)
        if sampler.discrete:
            raise ValueError(f"improved_cd differentiates through the chain; {type(sampler).__name__} moves in flips")
        if kl_steps is not None and kl_steps > sampler.n_steps:
            raise ValueError(f"kl_steps: must be at most sampler.n_steps, {sampler.n_steps}, got {kl_steps}")
        if entropy_weight and entropy.min_filled >= buffer.size:
            raise ValueError(
                f"entropy: waits for more than {entropy.min_filled} held points (min_filled, bank_size), "
                f"but buffer.size is {buffer.size}"
            )
        self.buffer: Buffer = buffer
        self.entropy, self.kl_weight, self.entropy_weight = entropy, kl_weight, entropy_weight
        self.kl_batch = kl_batch
        self.kl_steps = sampler.n_steps if kl_steps is None else kl_steps

    def negatives(self, energy: Energy, batch: Minibatch, generator: torch.Generator) -> Negatives:
        start = self.buffer.draw(len(batch.x), generator)
        if not (self.kl_weight or self.entropy_weight):
            negatives = self._run(energy, start.x, start.y, generator)
        else:
            negatives = self._run_through(energy, start.x, start.y, generator)
        self.buffer.store(start, negatives.chain.x)
        return negatives

    def _run_through(self, energy: Energy, start: Tensor, y: Tensor | None, generator: torch.Generator) -> Negatives:
        def bind(rows: slice) -> EnergyFn:
            return energy.condition(**context_of(energy, y=None if y is None else y[rows]))

        n = len(start) if self.kl_batch is None else min(self.kl_batch, len(start))
        chain, x = run_through(self.sampler, bind, start, generator, n, self.kl_steps)
        self.sampler.learn(chain.info)
        loss, metrics = self._kl(bind(slice(n)), x, generator)
        # One number per sample, whose mean over the batch is the mean over the n chains.
        return Negatives(chain, y, pad(loss * (len(start) / n), (0, len(start) - n)), metrics)

    def _kl(self, energy: EnergyFn, x: Tensor, generator: torch.Generator) -> tuple[PerSample, dict[str, Tensor]]:
        """The two terms ``[n]`` of the ends x of chains, which carry the graph to θ."""
        loss, metrics = torch.zeros_like(x.flatten(1)[:, 0]), {}
        if self.kl_weight:
            with frozen(energy):
                scored = energy(x)
            loss = loss + self.kl_weight * scored
            metrics["train/kl"] = scored.detach().mean()
        if self.entropy_weight and self.buffer.n_filled > self.entropy.min_filled:
            log_r = self.entropy(x, self.buffer.bank(self.entropy.bank_size, generator))
            loss = loss - self.entropy_weight * log_r
            metrics["train/entropy"] = log_r.detach().mean()
        return loss, metrics
