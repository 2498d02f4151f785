"""Energies of known distribution whose log Z is an integral on the line: a double well, a ring (see ``analytic.py``).

A density known by its logarithm at even nodes gives log Z by Simpson's rule and samples by its inverse distribution
function.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ebm_exp.energy.analytic import LOG_2PI, Analytic, normal
from ebm_exp.types import EventShape, PerSample, Positive

N_NODES = 20_001  # odd, for Simpson's rule; a grid 24 standard deviations wide has 830 nodes to each


class DoubleWell(Analytic):
    """E = b((x₁/a)² − 1)² + (x₂² + … + x_d²)/2σ²: two wells at x₁ = ±a and a barrier of b nats between them.

    log Z = log(½πa e^(−b/2) (I₋¼(b/2) + I₊¼(b/2))) + (d − 1) log(σ√2π), the first part here by quadrature.

    Args:
        event_shape: shape of one point.
        barrier: b.
        position: a.
        std: σ, of the other dimensions.
    """

    def __init__(
        self, event_shape: EventShape, barrier: Positive = 3.0, position: Positive = 1.0, std: Positive = 1.0
    ) -> None:
        super().__init__(event_shape)
        self.log_barrier = nn.Parameter(torch.tensor(math.log(barrier)))
        self.log_position = nn.Parameter(torch.tensor(math.log(position)))
        self.log_std = nn.Parameter(torch.tensor(math.log(std)))

    def potential(self, x: Tensor) -> PerSample:
        well = ((x[:, 0] * (-self.log_position).exp()).square() - 1).square() * self.log_barrier.exp()
        return well + (x[:, 1:] * (-self.log_std).exp()).square().sum(1) / 2

    def _line(self) -> tuple[Tensor, Tensor]:
        """log exp(−b(u² − 1)²) at nodes of u = x₁/a, to where it has fallen to exp(−50)."""
        b = self.log_barrier.double().exp()
        end = math.sqrt(1 + math.sqrt(50 / float(b)))
        u = torch.linspace(-end, end, N_NODES, dtype=torch.float64, device=b.device)
        return -b * (u.square() - 1).square(), u

    @property
    def log_z(self) -> Tensor:
        rest = (self.d - 1) * (self.log_std.double() + LOG_2PI / 2)
        return _log_integral(*self._line()) + self.log_position.double() + rest

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        x = normal(n, self.d, generator) * self.log_std.double().exp()
        x[:, 0] = _inverse_cdf(*self._line(), n, generator) * self.log_position.double().exp()
        return x


class Ring(Analytic):
    """E = (r − R)²/2σ², r = |x|: a circle, in d dimensions a shell.

    log Z = log |S| + log ∫₀^∞ r^(d−1) exp(−(r − R)²/2σ²) dr by quadrature, |S| = 2π^(d/2)/Γ(d/2).

    Args:
        event_shape: shape of one point.
        radius: R.
        std: σ.
    """

    def __init__(self, event_shape: EventShape, radius: Positive = 2.0, std: Positive = 0.3) -> None:
        super().__init__(event_shape)
        self.log_radius = nn.Parameter(torch.tensor(math.log(radius)))
        self.log_std = nn.Parameter(torch.tensor(math.log(std)))

    def potential(self, x: Tensor) -> PerSample:
        r = (x.square().sum(1) + 1e-24).sqrt()  # the root of exactly zero has no second derivative
        return ((r - self.log_radius.exp()) * (-self.log_std).exp()).square() / 2

    def _line(self) -> tuple[Tensor, Tensor]:
        """log r^(d−1) exp(−(r − R)²/2σ²) at nodes of r, 12σ to both sides of its peak: there it is below exp(−72)."""
        big_r, std = self.log_radius.double().exp(), self.log_std.double().exp()
        peak = float((big_r + (big_r.square() + 4 * (self.d - 1) * std.square()).sqrt()) / 2)
        low, high = max(0.0, peak - 12 * float(std)), peak + 12 * float(std)
        r = torch.linspace(low, high, N_NODES, dtype=torch.float64, device=std.device)
        return torch.xlogy(self.d - 1, r) - ((r - big_r) / std).square() / 2, r

    @property
    def log_z(self) -> Tensor:
        log_sphere = math.log(2) + self.d / 2 * math.log(math.pi) - math.lgamma(self.d / 2)
        return log_sphere + _log_integral(*self._line())

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        direction = normalize(normal(n, self.d, generator), dim=1)
        return direction * _inverse_cdf(*self._line(), n, generator).unsqueeze(1)


def _log_integral(log_f: Tensor, nodes: Tensor) -> Tensor:
    """log ∫ exp(log_f) by Simpson's rule, differentiable in log_f.

    Args:
        log_f: ``[n]`` at the nodes, −inf where the density is zero.
        nodes: ``[n]``, evenly spaced, n odd; beyond their ends the density is negligible or zero.
    """
    weights = torch.full_like(nodes, 2.0)
    weights[1::2] = 4.0
    weights[0] = weights[-1] = 1.0
    step = (float(nodes[-1]) - float(nodes[0])) / (len(nodes) - 1)
    return torch.logsumexp(log_f + weights.log(), 0) + math.log(step / 3)


def _inverse_cdf(log_f: Tensor, nodes: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n independent points ``[n]`` of the density, taken as constant between nodes."""
    u = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
    f = (log_f - log_f.max()).exp()
    below = torch.cat([f.new_zeros(1), ((f[1:] + f[:-1]) / 2).cumsum(0)])
    below = below / below[-1]
    right = torch.searchsorted(below, u).clamp(1, len(nodes) - 1)
    left = right - 1
    share = (u - below[left]) / (below[right] - below[left])
    return nodes[left] + share * (nodes[right] - nodes[left])
