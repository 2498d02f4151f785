"""The straight line from normal noise to data, and the density that a potential of its velocity stands for.

x_t = (1 − t) z + t x,  z ~ N(0, I),  t from 0 (noise) to 1 (data)            (Lipman et al. 2023, arXiv 2210.02747)

With z independent of x, the velocity u(x_t, t) = E[x − z | x_t] and the score of x_t are functions of each other,
∇ log p_t = (t u − x_t)/(1 − t). So a potential with −∇E = u gives the density itself:

p_t = exp(−Ẽ − c(t)),  Ẽ(x, t) = (t E(x, t) + ½‖x‖²)/(1 − t) + (d/2) log 2π(1 − t),  t < 1.

The last term makes E = 0 that of N(0, (1 − t) I), and at t = 0 p₀ = exp(−Ẽ) whatever E is.
"""

import math
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Lt
from torch import Tensor

from ebm_exp.energy.base import Energy, Slopes, Standard
from ebm_exp.noise.base import Course, Fit, NoiseProcess, Time
from ebm_exp.types import Batch, PerSample

T_FIRST = 0.05  # of levels: before it all is noise
_ENDS = 1e-3, 1 - 1e-6  # at 0 and 1 there are limits


class Flow(NoiseProcess):
    """The straight line from noise to data.

    Args:
        times: of training: ``logit_normal``, the sigmoid of a normal number; ``uniform``; ``wide``, half of them
            uniform and half even in log t/(1 − t), up to ``t_density``.
        t_density: the time whose density images and evaluators mean; below 1.
    """

    potential = "velocity"
    known_constant = 0.0  # at t = 0

    def __init__(
        self,
        times: Literal["logit_normal", "uniform", "wide"] = "logit_normal",
        t_density: Annotated[float, Gt(0), Lt(1)] = 0.98,
    ) -> None:
        self.times, self._t_density = times, t_density

    @property
    def span(self) -> tuple[float, float]:
        return 0.0, self._t_density

    def sample_t(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        if self.times == "uniform":
            return torch.rand(n, generator=generator, device=device)
        if self.times == "wide":
            return self.sample_wide(n, generator, device)
        return torch.randn(n, generator=generator, device=device).sigmoid()

    def sample_wide(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        """Half of them uniform, half even in log t/(1 − t)."""
        where, which = torch.rand((2, n), generator=generator, device=device)
        first, last = _logit(T_FIRST), _logit(self.t_density)
        return torch.where(which < 0.5, self.t_density * where, (first + (last - first) * where).sigmoid())

    def share(self, t: Time) -> Time:
        return t

    def levels(self, n: int, first: float | None = None) -> list[float]:
        """Evenly in the logarithm of t/(1 − t), the ratio of data to noise."""
        begin, end = _logit(T_FIRST if first is None else first), _logit(self.t_density)
        return [1 / (1 + math.exp(-(end - (end - begin) * i / max(1, n - 1)))) for i in reversed(range(n))]

    def course(self, n: int, t_end: float = 1.0) -> Course:
        """Evenly from 0 to ``t_end``."""
        dt = t_end / n
        return Course([min(i * dt, t_end) for i in range(n + 1)], [dt] * n)

    def gaussian(self, t: Time) -> tuple[Tensor, Time]:
        return torch.zeros(()), ((1 - t) ** 2 + t**2) ** 0.5

    def width(self, t: Time) -> Time:
        return 1 - t

    def is_late(self, t: Tensor) -> Tensor:
        return t > 0.5

    def time_of(self, noise_std: float) -> float:
        return 1 / (1 + noise_std)

    def fit(self, x: Batch, t: PerSample, z: Batch) -> Fit:
        """−∇E is the velocity: x − z."""
        return Fit(self.perturb(x, t, z), t, x - z)

    def of_no_noise(self, x: Batch) -> tuple[Batch, PerSample]:
        return x, x.new_ones(len(x))

    def densities(self, energy: Energy) -> Energy:
        return _Densities(energy)

    def standard(self, t: PerSample) -> Standard:
        """Noised, they have variance W = t² + (1 − t)², and E = ((1 − t)/t) (d/2) log(W/(1 − t)) + (½ − t) ‖x‖²/W."""
        t = t.clamp(*_ENDS)
        left, variance = 1 - t, t**2 + (1 - t) ** 2
        height = 0.5 * left / t * (t * (2 * t - 1) / left).log1p()
        return Standard(left / t, height, (1 - 2 * t) / variance, variance)

    def carrier(self, energy: Energy) -> Energy:
        return energy

    def scaled_score(self, x: Batch, velocity: Batch, t: float) -> Batch:
        return t * velocity - x

    def pace(self, t: Time) -> Time:
        return 1 - t

    def drift(self, x: Batch, t: PerSample, slopes: Slopes) -> PerSample:
        """(E + ½‖x‖²)/(1 − t) + t ∂E/∂t − d/2."""
        squares, d = x.flatten(1).square().sum(1), x[0].numel()
        return (slopes.e + 0.5 * squares) / (1 - t) + t * slopes.t - 0.5 * d

    def drift_of_noise(self, x: Batch, z: Batch) -> PerSample:
        """d + ⟨z, x − z⟩."""
        return x[0].numel() + (z * (x - z)).flatten(1).sum(1)


def _logit(t: float) -> float:
    return math.log(t / (1 - t))


class _Densities(Energy):
    """Ẽ(x, t), t < 1, of an energy E(x, t)."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy
        self.context = energy.context
        self.optional = energy.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        left, d = 1 - context["t"], x[0].numel()
        quadratic = 0.5 * x.flatten(1).square().sum(1)
        e = (context["t"] * self.energy(x, **context) + quadratic) / left
        return e + 0.5 * d * (2 * math.pi * left).log()
