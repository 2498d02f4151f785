"""Energies of known distribution: targets to test samplers and estimators on, and small families with a known optimum.

A point has d numbers x₁ … x_d, whatever its event shape. E is not normalised: p(x) = exp(−E(x))/Z over all of space,
with log Z in nats; on a data set's box it is the same where the mass outside is negligible. Parameters are trainable:
what is positive as its logarithm, so ``dataset=gaussian energy=gaussian`` learns mean and standard deviation by
maximum likelihood. Nothing but element-wise arithmetic and sums, so autocast leaves it in float32.
``quadrature.py`` has the energies whose log Z is an integral on the line.
"""

import math
from abc import abstractmethod
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, EventShape, Finite, PerSample, Positive

LOG_2PI = math.log(2 * math.pi)
Correlation = Annotated[float, Gt(-1), Lt(1)]


class Analytic(Energy):
    """An energy whose log Z and exact samples are known.

    Args:
        event_shape: shape of one point; d is its number of elements.
    """

    def __init__(self, event_shape: EventShape) -> None:
        super().__init__()
        self.event_shape, self.d = tuple(event_shape), math.prod(event_shape)

    @abstractmethod
    def potential(self, x: Tensor) -> PerSample:
        """E of flat points ``[batch, d]``."""

    @property
    @abstractmethod
    def log_z(self) -> Tensor:
        """log ∫ exp(−E(x)) dx over all of space, T = 1: a float64 scalar, differentiable in the parameters."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent flat points ``[n, d]`` in float64."""

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return self.potential(x.flatten(1)).float()

    def log_prob(self, x: Batch) -> PerSample:
        """log p(x) = −E(x) − log Z ``[batch]``, in nats."""
        return -self(x) - self.log_z.float()

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Batch:
        """n independent points ``[n, *event]`` of exp(−E)/Z; the generator is on the parameters' device."""
        return self.draw(n, generator).float().view(n, *self.event_shape)


class Gaussian(Analytic):
    """E = ½|z|², z₁ = u₁, zᵢ = (uᵢ − ρuᵢ₋₁)/√(1 − ρ²), u = (x − mean)/std: neighbours have correlation ρ.

    This is the stationary AR(1) distribution, Cov(uᵢ, uⱼ) = ρ^|i−j|; in the plane, any Gaussian.
    log Z = (d/2) log 2π + Σ log stdᵢ + (d − 1)/2 · log(1 − ρ²).

    Args:
        event_shape: shape of one point.
        mean, std: one number for all dimensions, or one for each.
        correlation: ρ.

    Raises:
        ValueError: when mean or std has neither one number nor d.
    """

    def __init__(
        self,
        event_shape: EventShape,
        mean: Finite | tuple[Finite, ...] = 0.0,
        std: Positive | tuple[Positive, ...] = 1.0,
        correlation: Correlation = 0.0,
    ) -> None:
        super().__init__(event_shape)
        self.mean = nn.Parameter(_spread("mean", mean, self.d))
        self.log_std = nn.Parameter(_spread("std", std, self.d).log())
        self.atanh_correlation = nn.Parameter(torch.tensor(math.atanh(correlation)))

    def potential(self, x: Tensor) -> PerSample:
        u = (x - self.mean) * (-self.log_std).exp()
        theta = self.atanh_correlation
        rest = (u[:, 1:] - theta.tanh() * u[:, :-1]) * theta.cosh()  # cosh θ = 1/√(1 − tanh²θ), without its rounding
        return (u[:, 0].square() + rest.square().sum(1)) / 2

    @property
    def log_z(self) -> Tensor:
        theta = self.atanh_correlation.double()
        return self.d / 2 * LOG_2PI + self.log_std.double().sum() - (self.d - 1) * theta.cosh().log()

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        u, theta = normal(n, self.d, generator), self.atanh_correlation.double()
        for i in range(1, self.d):
            u[:, i] = theta.tanh() * u[:, i - 1] + u[:, i] / theta.cosh()
        return self.mean + self.log_std.double().exp() * u


class Mixture(Analytic):
    """E = −log Σ_k w_k σ_k^−d exp(−|x − c_k|²/2σ_k²): round Gaussians, log Z = (d/2) log 2π.

    Args:
        event_shape: shape of one point.
        centres: c, one list of d numbers per component.
        std: σ, one number for all components, or one for each.
        weights: w, up to a factor; null: equal.

    Raises:
        ValueError: when a centre has not d numbers, or std or weights do not fit the number of centres.
    """

    def __init__(
        self,
        event_shape: EventShape,
        centres: tuple[tuple[Finite, ...], ...],
        std: Positive | tuple[Positive, ...] = 1.0,
        weights: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__(event_shape)
        if not centres:
            raise ValueError("centres: needs at least one")
        if any(len(centre) != self.d for centre in centres):
            raise ValueError(f"centres: each must have {self.d} numbers, got {[len(centre) for centre in centres]}")
        k = len(centres)
        self.centres = nn.Parameter(torch.tensor(centres, dtype=torch.float32))
        self.log_std = nn.Parameter(_spread("std", std, k).log())
        self.logits = nn.Parameter(_spread("weights", 1.0 if weights is None else tuple(weights), k).log())

    def potential(self, x: Tensor) -> PerSample:
        squared = (x.unsqueeze(1) - self.centres).square().sum(2)  # [batch, components]
        log_w = self.logits.log_softmax(0) - self.d * self.log_std
        return -torch.logsumexp(log_w - squared * (-2 * self.log_std).exp() / 2, 1)

    @property
    def log_z(self) -> Tensor:
        return torch.tensor(self.d / 2 * LOG_2PI, dtype=torch.float64, device=self.centres.device)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        k = torch.multinomial(self.logits.double().softmax(0), n, replacement=True, generator=generator)
        return self.centres[k] + self.log_std.double().exp()[k].unsqueeze(1) * normal(n, self.d, generator)


class Funnel(Analytic):
    """Neal's funnel: x₁ ~ N(0, s²), the others N(0, e^x₁) given x₁ (Neal 2003, Slice sampling, section 8; s = 3).

    E = x₁²/2s² + ½ e^(−x₁) Σ xᵢ² + ½(d − 1) x₁,  log Z = (d/2) log 2π + log s.

    Args:
        event_shape: shape of one point.
        std: s, of the neck's logarithm.
    """

    def __init__(self, event_shape: EventShape, std: Positive = 3.0) -> None:
        super().__init__(event_shape)
        self.log_std = nn.Parameter(torch.tensor(math.log(std)))

    def potential(self, x: Tensor) -> PerSample:
        neck, rest = x[:, 0], x[:, 1:]
        # e^(−x₁/2) x first, then the square: e^(−x₁) alone overflows float32 twice as early.
        scaled = rest * (-neck / 2).exp().unsqueeze(1)
        return ((neck * (-self.log_std).exp()).square() + scaled.square().sum(1) + (self.d - 1) * neck) / 2

    @property
    def log_z(self) -> Tensor:
        return self.d / 2 * LOG_2PI + self.log_std.double()

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        x = normal(n, self.d, generator)
        x[:, 0] *= self.log_std.double().exp()
        x[:, 1:] *= (x[:, :1] / 2).exp()
        return x


def _spread(key: str, value: float | tuple[float, ...], n: int) -> Tensor:
    """One number for all n, or one for each: ``[n]``."""
    values = torch.tensor(value, dtype=torch.float32).reshape(-1)
    if len(values) not in (1, n):
        raise ValueError(f"{key}: must be one number or a list of {n}, got {len(values)}")
    return values.repeat(n // len(values))


def normal(n: int, d: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers ``[n, d]`` in float64, on the generator's device."""
    return torch.randn(n, d, generator=generator, device=generator.device, dtype=torch.float64)
