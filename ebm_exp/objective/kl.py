"""The KL term of improved contrastive divergence (Du, Li, Tenenbaum & Mordatch, ICML 2021; arXiv 2012.01316).

The gradient of contrastive divergence has a third part, which is usually left out: x⁻ ~ q_θ depends on θ through the
chain that made it,

    L = E(x⁺) − E(x⁻) + w_KL · Ē(x⁻(θ)) − w_H · log r(x⁻(θ)).

The last two descend KL(q_θ ‖ p_θ), energy less entropy: Ē is the energy with its parameters held, x⁻(θ) the end of a
chain with θ in its last steps, log r the entropy by nearest neighbours (``entropy.py``) among ends of earlier chains.
The KL is that at T = 1, whatever the chain's noise, as published. In the paper each held chain is augmented before it
goes on (``augmentation=``).

Their code (yilundu/improved_contrastive_divergence) lets the gradient through one step also when it is asked for all:
it detaches every step's end. Here ``through`` are as many as it says.
"""

from torch import Tensor

from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.regularization.base import Step, Term
from ebm_exp.types import NonNegative, PositiveInt, Provided


class KL(Term):
    """w · Ē(x⁻(θ)): the ends of chains learn to lie where the energy is low.

    Args:
        weight: w.
        through: the gradient goes through so many steps, the last ones; null: through all.
        through_chains: of so many chains, the first ones of each step, it is the mean; null: of all.
        ranks: each takes its part of these chains, of its own.

    Raises:
        ValueError: when they cannot share the chains evenly.
    """

    needs = frozenset({"end"})

    def __init__(
        self,
        weight: NonNegative = 1.0,
        through: PositiveInt | None = 1,
        through_chains: PositiveInt | None = None,
        ranks: Provided[Ranks] = ALONE,
    ) -> None:
        self.weight = weight
        self.through_chains = through_chains and ranks.split("through_chains", through_chains)
        self.through = through if weight else 0  # without a weight at the cost of none
        self.needs = self.needs if weight else frozenset()

    def __call__(self, now: Step) -> Tensor | None:
        if now.end is None or not self.weight:
            return None
        return self.weight * now.end.energy(now.end.x[: self.through_chains])
