"""Pseudo-likelihood: each component given all others, whose probabilities have no Z.

L = −Σ_i log p(x_i | x₋ᵢ) = Σ_i log(1 + exp(E(x) − E(x₍ᵢ₎)))              (Besag 1975, The Statistician 24)
"""

import math

from torch import Tensor
from torch.nn.functional import softplus

from ebm_exp.objective.single_flips import SingleFlips


class PseudoLikelihood(SingleFlips):
    """ℓ(u) = log(1 + eᵘ), in nats (see ``SingleFlips``)."""

    name = "pseudo_likelihood"
    chance = math.log(2)

    def of_flip(self, u: Tensor) -> Tensor:
        return softplus(u)
