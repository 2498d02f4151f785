"""Classification of the noise level of a fixed point (as in "DiffCLF", arXiv 2601.21025).

A point x of time t₁ is shown with k − 1 other times t₂ … t_k of the same distribution. By Bayes it is of the i-th with
probability p_{t_i}(x)/Σ_j p_{t_j}(x), and

L = (Ẽ(x, t₁) + log Σ_j exp(−Ẽ(x, t_j))) / d

is least where exp(−Ẽ) is p_t at all times but for one constant. It is divided by d as the loss of ∇E beside it,
which images of hundreds of pixels would hardly learn otherwise.
"""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.normaliser.base import Normaliser, Seen
from ebm_exp.random import Source
from ebm_exp.types import Batch, NonNegative, PerSample, PositiveInt, Probability


class Levels(Normaliser):
    """The cross-entropy of which of k times a point is of, in nats per dimension.

    Args:
        weight, after, n_steps: see ``Normaliser``.
        k: times that are told apart at each point: one more forward pass for each but its own.
    """

    name = "levels"

    def __init__(
        self,
        weight: NonNegative = 1.0,
        after: Probability = 0.25,
        n_steps: PositiveInt | None = None,
        k: Annotated[int, Ge(2)] = 4,
    ) -> None:
        super().__init__(weight, after, n_steps)
        self.k = k

    def loss(self, energy: Energy, noise: NoiseProcess, seen: Seen, source: Source) -> PerSample:
        own = noise.densities(_Known(seen.slopes.e))(seen.x, t=seen.t)
        times = torch.cat([self.sample_t(noise, seen.x, source) for _ in range(self.k - 1)])
        x = seen.x.repeat(self.k - 1, *[1] * (seen.x.dim() - 1))
        others = noise.densities(energy)(x, t=times).view(self.k - 1, -1)
        logits = -torch.cat([own[None], others])
        return (logits.logsumexp(0) - logits[0]) / seen.z[0].numel()


class _Known(Energy):
    """Energies of points that are computed already.

    Args:
        e: ``[batch]``, of the points that it is called with.
    """

    context = ("t",)

    def __init__(self, e: PerSample) -> None:
        super().__init__()
        self.e = e

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return self.e
