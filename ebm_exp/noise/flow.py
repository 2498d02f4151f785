"""The straight line from normal noise to data, and the density that a potential of its velocity stands for.

x_t = (1 − t) z + t x,  z ~ N(0, I),  t from 0 (noise) to 1 (data)            (Lipman et al. 2023, arXiv 2210.02747)

With z independent of x, the velocity u(x_t, t) = E[x − z | x_t] and the score of x_t are functions of each other,
∇ log p_t = (t u − x_t)/(1 − t). So a potential with −∇E = u gives the density itself:

p_t ∝ exp(−Ẽ),  Ẽ(x, t) = (t E(x, t) + ½‖x‖²)/(1 − t),  t < 1.
"""

from typing import Annotated, Literal

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.types import Batch, PerSample


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

    def perturb(self, x: Batch, t: PerSample, z: Batch) -> Batch:
        share = t.view(-1, *[1] * (x.dim() - 1))
        return torch.lerp(z, x, share)

    def energy_at(self, energy: Energy, t: float) -> Energy:
        return _AtTime(energy, t)


class _AtTime(Energy):
    """Ẽ(x, t) of one time t < 1, for an energy E(x, t)."""

    def __init__(self, energy: Energy, t: float) -> None:
        super().__init__()
        self.energy, self.t = energy, t
        self.context = tuple(name for name in energy.context if name != "t")
        self.optional = energy.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        e = self.energy(x, t=torch.full((len(x),), self.t, dtype=x.dtype, device=x.device), **context)
        return (self.t * e + 0.5 * x.flatten(1).square().sum(1)) / (1 - self.t)
