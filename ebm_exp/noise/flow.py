"""The straight line from normal noise to data, and the density that a potential of its velocity stands for.

x_t = (1 − t) z + t x,  z ~ N(0, I),  t from 0 (noise) to 1 (data)            (Lipman et al. 2023, arXiv 2210.02747)

With z independent of x, the velocity u(x_t, t) = E[x − z | x_t] and the score of x_t are functions of each other,
∇ log p_t = (t u − x_t)/(1 − t). So a potential with −∇E = u gives the density itself:

p_t ∝ exp(−Ẽ),  Ẽ(x, t) = (t E(x, t) + ½‖x‖²)/(1 − t),  t < 1.
"""

import math
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.noise.base import NoiseProcess, Time
from ebm_exp.types import Batch, PerSample

T_FIRST = 0.05  # of levels: before it all is noise


class Flow(NoiseProcess):
    """The straight line from noise to data.

    Args:
        times: of training: ``logit_normal``, the sigmoid of a normal number, or ``uniform``.
        t_density: the time whose density images and evaluators mean; below 1.
    """

    def __init__(
        self,
        times: Literal["logit_normal", "uniform"] = "logit_normal",
        t_density: Annotated[float, Gt(0), Lt(1)] = 0.98,
    ) -> None:
        self.times, self.t_density = times, t_density

    def sample_t(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        if self.times == "uniform":
            return torch.rand(n, generator=generator, device=device)
        return torch.randn(n, generator=generator, device=device).sigmoid()

    def share(self, t: Time) -> Time:
        return t

    def levels(self, n: int, first: float | None = None) -> list[float]:
        """Evenly in the logarithm of t/(1 − t), the ratio of data to noise."""
        begin, end = (math.log(t / (1 - t)) for t in (T_FIRST if first is None else first, self.t_density))
        return [1 / (1 + math.exp(-(end - (end - begin) * i / max(1, n - 1)))) for i in reversed(range(n))]

    def width(self, t: Time) -> Time:
        return 1 - t

    def time_of(self, noise_std: float) -> float:
        return 1 / (1 + noise_std)

    def scaled_score(self, x: Batch, velocity: Batch, t: float) -> Batch:
        return t * velocity - x

    def densities(self, energy: Energy) -> Energy:
        return _Densities(energy)


class _Densities(Energy):
    """Ẽ(x, t), t < 1, of an energy E(x, t)."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy
        self.context = energy.context
        self.optional = energy.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        t = context["t"]
        return (t * self.energy(x, **context) + 0.5 * x.flatten(1).square().sum(1)) / (1 - t)
