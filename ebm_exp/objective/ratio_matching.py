"""Ratio matching: the ratios p(x)/p(x₍ᵢ₎) of the data, fitted by squares, score matching for two levels.

L = Σ_i g(p(x)/p(x₍ᵢ₎))² = Σ_i σ(E(x) − E(x₍ᵢ₎))²,  g(r) = 1/(1 + r)
                            (Hyvärinen 2007, "Some extensions of score matching", CSDA 51)

A flip that the model finds much likelier than the data costs 1 at most, where pseudo-likelihood grows without end.
"""

from torch import Tensor

from ebm_exp.objective.single_flips import SingleFlips


class RatioMatching(SingleFlips):
    """ℓ(u) = σ(u)² (see ``SingleFlips``)."""

    name = "ratio_matching"
    chance = 0.25

    def of_flip(self, u: Tensor) -> Tensor:
        return u.sigmoid().square()
