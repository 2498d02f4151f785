"""Energies of known law: log Z and exact samples, to test samplers and estimators on, or to fit by training.

p(x) = exp(−E(x))/Z on all space, x flattened to d components. What shapes a law is a parameter (positive ones as
logarithms), so ``energy=gaussian dataset=gaussian`` is maximum likelihood in a family with a known answer.
"""

import math
from abc import abstractmethod
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, Finite, PerSample, Positive

_N_GRID = 20_001  # points of one-dimensional quadratures: far below 1e-6 for these smooth integrands
_LOG_2PI = math.log(2 * math.pi)


class Analytic(Energy):
    """An energy whose law is known.

    Args:
        event_shape: shape of one point, d components in all.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape, self.d = event_shape, math.prod(event_shape)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return self.of(x.flatten(1).float())

    @abstractmethod
    def of(self, x: Tensor) -> PerSample:
        """Energies ``[batch]`` of flat points ``[batch, d]``."""

    @abstractmethod
    def log_z(self) -> Tensor:
        """log ∫ exp(−E(x)) dx over all space, in nats; differentiable where it is in closed form."""

    @abstractmethod
    def _flat_sample(self, n: int, generator: torch.Generator) -> Tensor: ...

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Batch:
        """n independent exact samples ``[n, *event]``, on the generator's device."""
        return self._flat_sample(n, generator).view(n, *self.event_shape)


class Gaussian(Analytic):
    """N(μ, σ²C) with C_ij = ρ^|i−j|: E = ½ z₁² + ½ Σ_{i>1} (z_i − ρ z_{i−1})²/(1 − ρ²), z = (x − μ)/σ.

    Args:
        event_shape: shape of one point.
        mean: μ, of every component at first.
        std: σ, of every component at first.
        correlation: ρ of neighbouring components; not trained.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        mean: Finite = 0.0,
        std: Positive = 1.0,
        correlation: Annotated[float, Gt(-1), Lt(1)] = 0.0,
    ) -> None:
        super().__init__(event_shape)
        self.mean = nn.Parameter(torch.full((self.d,), float(mean)))
        self.log_std = nn.Parameter(torch.full((self.d,), math.log(std)))
        self.correlation = correlation

    def of(self, x: Tensor) -> PerSample:
        z = (x - self.mean) / self.log_std.exp()
        steps = (z[:, 1:] - self.correlation * z[:, :-1]) / math.sqrt(1 - self.correlation**2)
        return (z[:, 0].square() + steps.square().sum(1)) / 2

    def log_z(self) -> Tensor:
        return self.log_std.sum() + (self.d - 1) / 2 * math.log(1 - self.correlation**2) + self.d / 2 * _LOG_2PI

    def _flat_sample(self, n: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(n, self.d, generator=generator, device=generator.device)
        for i in range(1, self.d):
            z[:, i] = self.correlation * z[:, i - 1] + math.sqrt(1 - self.correlation**2) * z[:, i]
        return self.mean + self.log_std.exp() * z


class Mixture(Analytic):
    """Σ_k w_k N(c_k, σ²): E = −log Σ_k w_k exp(−|x − c_k|²/2σ²).

    Args:
        event_shape: shape of one point.
        centres: c_k, each of d components.
        std: σ.
        weights: w_k, scaled to sum one; null: equal.

    Raises:
        ValueError: when a centre has not d components, or weights are not as many positive numbers as centres.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        centres: tuple[tuple[Finite, ...], ...],
        std: Positive = 1.0,
        weights: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__(event_shape)
        if not centres or any(len(c) != self.d for c in centres):
            raise ValueError(f"centres: must be one or more points of {self.d} components")
        weights = weights or (1.0,) * len(centres)
        if len(weights) != len(centres) or min(weights) <= 0:
            raise ValueError(f"weights: must be {len(centres)} positive numbers, one per centre")
        self.centres = nn.Parameter(torch.tensor(centres))
        self.log_std = nn.Parameter(torch.tensor(math.log(std)))
        self.logits = nn.Parameter(torch.tensor(weights).log())

    def of(self, x: Tensor) -> PerSample:
        squared = (x.unsqueeze(1) - self.centres).square().sum(2)
        return -torch.logsumexp(self.logits.log_softmax(0) - squared / (2 * (2 * self.log_std).exp()), 1)

    def log_z(self) -> Tensor:
        return self.d * self.log_std + self.d / 2 * _LOG_2PI

    def _flat_sample(self, n: int, generator: torch.Generator) -> Tensor:
        k = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        return self.centres[k] + self.log_std.exp() * torch.randn(n, self.d, generator=generator, device=k.device)


class DoubleWell(Analytic):
    """Two wells at ±a along the first component: E = h (x₁²/a² − 1)² + ½ Σ_{i>1} x_i².

    Args:
        event_shape: shape of one point.
        barrier: h, the height between the wells in nats.
        position: a.
    """

    def __init__(self, event_shape: tuple[int, ...], barrier: Positive = 3.0, position: Positive = 1.0) -> None:
        super().__init__(event_shape)
        self.log_barrier = nn.Parameter(torch.tensor(math.log(barrier)))
        self.log_position = nn.Parameter(torch.tensor(math.log(position)))

    def of(self, x: Tensor) -> PerSample:
        return self._wells(x[:, 0]) + x[:, 1:].square().sum(1) / 2

    def log_z(self) -> Tensor:
        return _log_integral(*self._profile()).float() + (self.d - 1) / 2 * _LOG_2PI

    def _wells(self, first: Tensor) -> Tensor:
        return self.log_barrier.exp() * (first.square() / (2 * self.log_position).exp() - 1).square()

    def _profile(self) -> tuple[Tensor, Tensor]:
        """A grid on which the first component has all its mass but exp(−60), and its log-density."""
        end = float(self.log_position.exp()) * math.sqrt(1 + math.sqrt(60 / float(self.log_barrier.exp())))
        grid = torch.linspace(-end, end, _N_GRID, dtype=torch.float64, device=self.log_position.device)
        return grid, -self._wells(grid)

    def _flat_sample(self, n: int, generator: torch.Generator) -> Tensor:
        x = torch.randn(n, self.d, generator=generator, device=generator.device)
        x[:, 0] = _inverse_cdf(*self._profile(), n, generator)
        return x


class Ring(Analytic):
    """A sphere of radius R, in the plane a circle: E = (|x| − R)²/2σ².

    Args:
        event_shape: shape of one point.
        radius: R.
        std: σ.
    """

    def __init__(self, event_shape: tuple[int, ...], radius: Positive = 2.0, std: Positive = 0.2) -> None:
        super().__init__(event_shape)
        self.log_radius = nn.Parameter(torch.tensor(math.log(radius)))
        self.log_std = nn.Parameter(torch.tensor(math.log(std)))

    def of(self, x: Tensor) -> PerSample:
        return ((x.square().sum(1) + 1e-12).sqrt() - self.log_radius.exp()).square() / (2 * (2 * self.log_std).exp())

    def log_z(self) -> Tensor:
        log_surface = math.log(2) + self.d / 2 * math.log(math.pi) - math.lgamma(self.d / 2)  # of the unit sphere
        return _log_integral(*self._profile()).float() + log_surface

    def _profile(self) -> tuple[Tensor, Tensor]:
        radius, std = float(self.log_radius.exp()), float(self.log_std.exp())
        low, high = max(1e-9 * std, radius - 12 * std), radius + (12 + math.sqrt(self.d)) * std
        r = torch.linspace(low, high, _N_GRID, dtype=torch.float64, device=self.log_std.device)
        return r, (self.d - 1) * r.log() - (r - self.log_radius.exp()).square() / (2 * (2 * self.log_std).exp())

    def _flat_sample(self, n: int, generator: torch.Generator) -> Tensor:
        direction = torch.randn(n, self.d, generator=generator, device=generator.device)
        r = _inverse_cdf(*self._profile(), n, generator)
        return direction / direction.norm(dim=1, keepdim=True) * r.unsqueeze(1)


class Funnel(Analytic):
    """Neal's funnel (2003, Ann. Statist. 31, sec. 8): v = x₁ ~ N(0, s²), x_i | v ~ N(0, e^v).

    E = v²/2s² + ½ Σ_{i>1} (x_i² e^{−v} + v).

    Args:
        event_shape: shape of one point, at least two components.
        scale: s; 3 in the paper.

    Raises:
        ValueError: for points of one component.
    """

    def __init__(self, event_shape: tuple[int, ...], scale: Positive = 3.0) -> None:
        super().__init__(event_shape)
        if self.d < 2:
            raise ValueError("funnel needs points of at least two components")
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def of(self, x: Tensor) -> PerSample:
        v, rest = x[:, 0], x[:, 1:]
        conditional = (rest.square() * (-v).exp().unsqueeze(1)).sum(1) + (self.d - 1) * v
        return v.square() / (2 * (2 * self.log_scale).exp()) + conditional / 2

    def log_z(self) -> Tensor:
        return self.log_scale + self.d / 2 * _LOG_2PI

    def _flat_sample(self, n: int, generator: torch.Generator) -> Tensor:
        x = torch.randn(n, self.d, generator=generator, device=generator.device)
        x[:, 0] *= self.log_scale.exp()
        x[:, 1:] *= (x[:, :1] / 2).exp()
        return x


def _log_integral(grid: Tensor, log_p: Tensor) -> Tensor:
    top = log_p.max()
    return torch.trapezoid((log_p - top).exp(), grid).log() + top


def _inverse_cdf(grid: Tensor, log_p: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n samples ``[n]`` of the density exp(log_p) on a grid, linear between its points."""
    p = (log_p - log_p.max()).exp()
    cdf = torch.cumulative_trapezoid(p, grid)
    cdf = torch.cat([cdf.new_zeros(1), cdf]) / cdf[-1]
    u = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
    i = torch.searchsorted(cdf, u).clamp(1, len(grid) - 1)
    share = (u - cdf[i - 1]) / (cdf[i] - cdf[i - 1])
    return torch.lerp(grid[i - 1], grid[i], share).float()
