"""Regression of ∂Ẽ/∂t at fixed points, as a score is of ∇Ẽ (Guth et al. 2025, "Learning normalized image densities via
dual score matching", arXiv 2506.05310).

−∂ log p_t(x)/∂t is the mean of −∂ log p(x_t | x)/∂t given x_t = x, which is known in closed form:

L = E (pace · ∂Ẽ(x_t, t)/∂t + pace · ∂ log p(x_t | x)/∂t)² / d²,

pace = σ of ``noise=edm``: ((σ ∂Ẽ/∂σ + ‖z‖² − d)/d)²; 1 − t of ``noise=flow``: (((1 − t) ∂Ẽ/∂t + d + ⟨z, x − z⟩)/d)².
Its least value leaves exp(−Ẽ) the same integral at all times.
"""

from ebm_exp.energy.base import Energy
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.normaliser.base import Normaliser, Seen
from ebm_exp.random import Source
from ebm_exp.types import PerSample


class TimeScore(Normaliser):
    """The squared error of ∂Ẽ/∂t, per dimension squared (see ``Normaliser``)."""

    name = "time_score"

    def loss(self, energy: Energy, noise: NoiseProcess, seen: Seen, source: Source) -> PerSample:
        error = noise.drift(seen.x, seen.t, seen.slopes) + noise.drift_of_noise(seen.data, seen.z)
        return (error / seen.z[0].numel()).square()
