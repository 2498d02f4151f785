"""The entropy of samples, by their nearest neighbours among others.

H(q) ≈ (d/n) Σ_i log r_i + const,  r_i = |x_i − b_(k)|, the distance to the k-th nearest of m points b ~ q

(Kozachenko & Leonenko 1987; Du et al. 2021, with k = 1, m = 100). d is the dimension; the constant,
log V_d + ψ(m) − ψ(k) with V_d the volume of the unit ball, has no gradient. With ε, log r is ½ log(r² + ε²): finite,
with a bounded gradient, also where a sample is one of the others.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ebm_exp.precision import full_precision
from ebm_exp.random import generator_of
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.regularization.base import Step, Term
from ebm_exp.types import Batch, NonNegative, NonNegativeInt, PerSample, Positive, PositiveInt, Provided


class Entropy(Term):
    """−w · log r of the ends of chains, against a bank of the buffer's points: the ends learn to keep apart.

    Args:
        weight: w.
        k: which neighbour.
        bank_size: m, points of the buffer that a step's samples are compared with.
        min_filled: only once the buffer holds more points than this.
        eps: ε, in units of the domain.
        through, through_chains, ranks: as in ``KL``. Each rank compares its samples with points of its own buffer.

    Raises:
        ValueError: when the bank has fewer than k points, or ranks cannot share the chains evenly.
    """

    needs = frozenset({"end", "buffer"})

    def __init__(
        self,
        weight: NonNegative = 0.3,
        k: PositiveInt = 1,
        bank_size: PositiveInt = 100,
        min_filled: NonNegativeInt = 1000,
        eps: Positive = 1e-3,
        through: PositiveInt | None = 1,
        through_chains: PositiveInt | None = None,
        ranks: Provided[Ranks] = ALONE,
    ) -> None:
        if k > bank_size:
            raise ValueError(f"k: must be at most bank_size, {bank_size}, got {k}")
        self.weight = weight
        self.k = k
        self.bank_size = bank_size
        self.eps = eps
        self.through_chains = through_chains and ranks.split("through_chains", through_chains)
        self.through = through if weight else 0  # without a weight at the cost of none
        self.min_filled = max(min_filled, bank_size - 1) if weight else 0
        self.needs = self.needs if weight else frozenset()

    def __call__(self, now: Step) -> Tensor | None:
        if now.end is None or now.buffer is None or not self.weight:
            return None
        held = now.buffer.n_filled
        if held < self.bank_size or held * now.buffer.ranks.n <= self.min_filled:
            return None
        bank = now.buffer.bank(self.bank_size, generator_of(now.source))
        return -self.weight * self.log_r(now.end.x[: self.through_chains], bank)

    def log_r(self, x: Batch, bank: Float[Tensor, "m *event"]) -> PerSample:  # noqa: F821
        """log r ``[batch]`` of x ``[batch, *event]`` to the bank ``[m, *event]``, in units of the domain.

        The neighbours are found by one product of matrices; only the distance to the chosen one is then computed
        exactly, and differentiated.
        """
        with torch.no_grad(), full_precision(x.device):  # bf16 would confuse near neighbours
            a, b = x.flatten(1), bank.flatten(1)
            distance = b.square().sum(1) - 2 * a @ b.T  # [batch, m], squared, less |a|²
            nearest = distance.topk(self.k, dim=1, largest=False).indices[:, -1]
        squared = (x - bank[nearest]).flatten(1).square().sum(1)
        return (squared + self.eps**2).log() / 2
