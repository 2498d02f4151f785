"""Distributions in the plane whose density is known, so that a model can be evaluated by more than its looks.

Mixtures and curves with Gaussian noise of standard deviation s. A curve c(t) with weight w(t) has the density
∫ N(x; c(t), s²) w(t) dt, by Gauss–Legendre quadrature: a logsumexp over nodes c(t_i), whose number follows from s.
Against a dense rule, for s from 0.01 to 1: below 1e-8 nats at the data's points, of order 1e-6 · |log p| far away.
"""

import math
from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from ebm_exp import memory
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.random import generator
from ebm_exp.types import Batch, PerSample, Positive, PositiveInt, Provided


class Toy2D(Dataset):
    """Points ``[2]`` in the box ±half_width, drawn once.

    Args:
        name: the run directory's name; names the draw too.
        device, seed: where the points live and which ones they are.
        half_width: the domain is [−half_width, half_width]²; the mass outside is negligible.
        noise: s, standard deviation of the Gaussian around each mode or curve.
        n_train, n_test: number of points.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        seed: Provided[int],
        half_width: Positive,
        noise: Positive = 0.1,
        n_train: PositiveInt = 100_000,
        n_test: PositiveInt = 10_000,
    ) -> None:
        self.noise = noise
        memory.refuse("n_train", 3 * (n_train + n_test) * 2 * 4)  # points and what they are made of
        x = self.sample(n_train + n_test, generator("cpu", "dataset", name, seed))
        super().__init__(
            name=name,
            domain=Domain(-half_width, half_width, (2,)),
            train=x[:n_train],
            test=x[n_train:],
            clamp_noise=False,
            device=device,
        )

    @abstractmethod
    def sample(self, n: int, g: torch.Generator) -> Batch:
        """n independent points ``[n, 2]`` of the distribution, on the CPU."""

    def _blur(self, x: Tensor, g: torch.Generator) -> Tensor:
        return x + self.noise * torch.randn(x.shape, generator=g)

    def _mixture_log_prob(self, x: Tensor, centres: Tensor, log_weights: Tensor) -> Tensor:
        """Log-density ``[batch]`` of Σ_i w_i N(centres_i, s²), in float64 and in blocks of bounded memory."""
        centres, log_weights = centres.to(x.device), log_weights.to(x.device)
        rows = max(1, 2**22 // len(centres))
        blocks = [
            torch.logsumexp(log_weights - torch.cdist(block, centres).square() / (2 * self.noise**2), dim=1)
            for block in x.double().split(rows)
        ]
        return (torch.cat(blocks) - math.log(2 * math.pi * self.noise**2)).to(x.dtype)


class _Curve(Toy2D):
    """A curve c(t), or several congruent ones of equal weight, with t of density w on [t_low, t_high]."""

    n_arms = 1
    t_low, t_high = 0.0, math.pi
    panel = 64.0  # longest piece of curve, in units of s, for one 128-point rule; high order keeps the tails exact too

    @abstractmethod
    def curve(self, t: Tensor, arm: Tensor) -> Tensor:
        """c ``[…, 2]`` of arm number ``arm`` at parameter t."""

    def position(self, u: Tensor) -> Tensor:
        """Where on the curve, in [0, 1], for a uniform u in [0, 1]."""
        return u

    def weight(self, v: Tensor) -> Tensor:
        """Density of the position v in [0, 1]."""
        return torch.ones_like(v)

    def sample(self, n: int, g: torch.Generator) -> Batch:
        t = self._parameter(self.position(torch.rand(n, generator=g)))
        return self._blur(self.curve(t, torch.randint(self.n_arms, (n,), generator=g)), g)

    def log_prob(self, x: Batch) -> PerSample:
        v, weights = self._quadrature()
        t, log_w = self._parameter(v), (self.weight(v) * weights / self.n_arms).log()
        centres = torch.cat([self.curve(t, torch.full_like(t, arm)) for arm in range(self.n_arms)])
        return self._mixture_log_prob(x, centres, log_w.repeat(self.n_arms))

    def _quadrature(self) -> tuple[Tensor, Tensor]:
        """Nodes ``[m]`` in [0, 1] and their weights ``[m]``: Gauss–Legendre rules on equal panels, short against s."""
        even = torch.linspace(0, 1, 1001, dtype=torch.float64)
        points = self.curve(self._parameter(even), torch.zeros_like(even))
        speed = 1000 * float(points.diff(dim=0).norm(dim=-1).max())
        n_panels = math.ceil(speed / (self.panel * self.noise))
        nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(128))
        panels = torch.arange(n_panels, dtype=torch.float64).unsqueeze(-1)
        return ((panels + (nodes + 1) / 2) / n_panels).flatten(), (weights / 2 / n_panels).repeat(n_panels)

    def _parameter(self, v: Tensor) -> Tensor:
        return self.t_low + (self.t_high - self.t_low) * v


class TwoMoons(_Curve):
    """Two half circles (cos t, sin t) and (1 − cos t, ½ − sin t), as scikit-learn has them, unscaled."""

    n_arms = 2

    def curve(self, t: Tensor, arm: Tensor) -> Tensor:
        upper = torch.stack([t.cos(), t.sin()], -1)
        lower = torch.stack([1 - t.cos(), 0.5 - t.sin()], -1)
        return torch.where((arm == 0).unsqueeze(-1), upper, lower)


class TwoSpirals(_Curve):
    """Two interleaved spirals, r from 0.3 to 3.3 in 1½ turns; √u spreads points evenly along the arc."""

    n_arms = 2
    t_low, t_high = 0.0, 3 * math.pi

    def position(self, u: Tensor) -> Tensor:
        return u.sqrt()

    def weight(self, v: Tensor) -> Tensor:
        return 2 * v

    def curve(self, t: Tensor, arm: Tensor) -> Tensor:
        r, angle = 0.3 + 3 * t / self.t_high, t + math.pi * arm
        return torch.stack([r * angle.cos(), r * angle.sin()], -1)


class SwissRoll(_Curve):
    """One spiral t·(cos t, sin t)/4 with t from 1½π to 4½π: scikit-learn's roll seen from its end."""

    t_low, t_high = 1.5 * math.pi, 4.5 * math.pi

    def curve(self, t: Tensor, arm: Tensor) -> Tensor:
        return torch.stack([t * t.cos(), t * t.sin()], -1) / 4


class Gaussian(Toy2D):
    """N(0, s²) in the plane."""

    def sample(self, n: int, g: torch.Generator) -> Batch:
        return self._blur(torch.zeros(n, 2), g)

    def log_prob(self, x: Batch) -> PerSample:
        return self._mixture_log_prob(x, torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))


class EightGaussians(Toy2D):
    """Eight equal Gaussians on a circle of radius 4."""

    def _centres(self) -> Tensor:
        angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
        return 4 * torch.stack([angle.cos(), angle.sin()], -1)

    def sample(self, n: int, g: torch.Generator) -> Batch:
        return self._blur(self._centres().float()[torch.randint(8, (n,), generator=g)], g)

    def log_prob(self, x: Batch) -> PerSample:
        return self._mixture_log_prob(x, self._centres(), torch.full((8,), -math.log(8), dtype=torch.float64))


class Rings(Toy2D):
    """Four circles of radius ¾, 1½, 2¼ and 3 of equal weight; around radius R the density is a Bessel function's.

    ∫ N(x; R e^{iφ}, s²) dφ/2π = exp(−(r − R)²/2s²) · i0e(rR/s²) / (2π s²), with r = |x|.
    """

    radii = (0.75, 1.5, 2.25, 3.0)

    def sample(self, n: int, g: torch.Generator) -> Batch:
        r = torch.tensor(self.radii)[torch.randint(len(self.radii), (n,), generator=g)]
        angle = 2 * math.pi * torch.rand(n, generator=g)
        return self._blur(torch.stack([r * angle.cos(), r * angle.sin()], -1), g)

    def log_prob(self, x: Batch) -> PerSample:
        r = x.double().norm(dim=-1, keepdim=True)
        big_r = torch.tensor(self.radii, dtype=torch.float64, device=x.device)
        variance = self.noise**2
        each = -(r - big_r).square() / (2 * variance) + torch.special.i0e(r * big_r / variance).log()
        return (torch.logsumexp(each, -1) - math.log(len(self.radii) * 2 * math.pi * variance)).to(x.dtype)


class Checkerboard(Toy2D):
    """Uniform on the eight dark squares, of side 2, of a 4×4 board on [−4, 4]²; the edges are sharp."""

    def sample(self, n: int, g: torch.Generator) -> Batch:
        column, row = torch.randint(4, (n,), generator=g), torch.randint(2, (n,), generator=g)
        corner = torch.stack([column, 2 * row + column % 2], -1)
        # Nearer to 1, corner + u would be rounded up onto the far edge, which belongs to the next square.
        return 2 * (corner + torch.rand(n, 2, generator=g).clamp_(max=1 - 2**-20)) - 4

    def log_prob(self, x: Batch) -> PerSample:
        square = ((x + 4) / 2).floor()
        dark = ((square >= 0) & (square < 4)).all(-1) & ((square.sum(-1) % 2) == 0)
        return torch.where(dark, -math.log(32.0), -math.inf).to(x.dtype)


class Pinwheel(Toy2D):
    """Five Gaussian blades N((2, 0), diag(0.6², s²)), turned by 2π k/5 and twisted by the angle r/2, r = |x|.

    The twist turns each circle rigidly, so it preserves area and the density is the blades' own at the untwisted point.
    """

    length = 0.6

    def sample(self, n: int, g: torch.Generator) -> Batch:
        blade = torch.randn(n, 2, generator=g) * torch.tensor([self.length, self.noise]) + torch.tensor([2.0, 0.0])
        turn = 2 * math.pi / 5 * torch.randint(5, (n,), generator=g)
        return _rotate(blade, turn + blade.norm(dim=-1) / 2)

    def log_prob(self, x: Batch) -> PerSample:
        untwisted = _rotate(x.double(), -x.double().norm(dim=-1) / 2)
        blades = []
        for k in range(5):
            p = _rotate(untwisted, torch.full_like(untwisted[..., 0], -2 * math.pi / 5 * k))
            blades.append(-((p[..., 0] - 2) / self.length).square() / 2 - (p[..., 1] / self.noise).square() / 2)
        constant = math.log(5 * 2 * math.pi * self.length * self.noise)
        return (torch.logsumexp(torch.stack(blades), 0) - constant).to(x.dtype)


def _rotate(x: Tensor, angle: Tensor) -> Tensor:
    c, s = angle.cos(), angle.sin()
    return torch.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], -1)
