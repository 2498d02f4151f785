"""The loss of flow matching as a term beside another: between noise and data the landscape keeps its slope.

w · ‖−∇E(x_t) − (x − z)‖² / d                                  (Balcerak et al. 2025, arXiv 2504.10612, second phase)
"""

from ebm_exp.noise.base import NoiseProcess
from ebm_exp.noise.pairs import Pairs, draw_pairs
from ebm_exp.random import draw_rows
from ebm_exp.regularization.base import Step, Term
from ebm_exp.types import NonNegative, PerSample, Provided


class Velocity(Term):
    """Holds an energy without time to the velocity that carries noise to data.

    Args:
        noise: the noise process.
        weight: w.
        pairs: of noise and data, see ``noise.pairs``.
    """

    def __init__(self, noise: Provided[NoiseProcess], weight: NonNegative = 1.0, pairs: Pairs = "transport") -> None:
        self.noise = noise
        self.weight = weight
        self.pairs = pairs
        self.pure = pairs == "random"  # others are found on the host

    def __call__(self, now: Step) -> PerSample:
        x = now.positive.x
        z = draw_pairs(x, now.source, self.pairs)
        t = draw_rows(len(x), now.source, lambda n, g: self.noise.sample_t(n, g, x.device)).to(x.dtype)
        slope = now.engine.gradient(now.positive.energy, self.noise.perturb(x, t, z), create_graph=True)
        return self.weight * (slope + x - z).square().flatten(1).mean(1)
