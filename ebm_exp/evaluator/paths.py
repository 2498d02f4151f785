"""The paths of ``evaluator=ais``: to a density on the domain, or through the levels of a noise process.

box      f_β(x) = q(x)^(1−β) exp(−β E(x)/T) on the domain, q a start of known density.
levels   On all of space, T = 1: from the Gaussian of all noise to exp(−Ẽ(x, t)) of one level after another, as far as
         the density nearest to the data, t*. At each level points are seen in units of what is known of it beforehand,
         u = (x − mean)/deviation (``NoiseProcess.gaussian``): from a noise that is wide to one that is narrow only what
         E tells has to be walked; f_β(u) du = exp(−Ẽ) dx. At points x of the data, which are given clean, −log p(x) =
         Ẽ(share x, t*) + log Z − d log share: the density is that of data with the noise of t*, over its share.
"""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.evaluator.annealing import Path
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.random import normal_like
from ebm_exp.start import Start
from ebm_exp.types import Batch, EnergyFn, PerSample

STEEPNESS = 4.0  # of the pilot's β on the box: a sigmoid, dense at both ends (Grosse et al. 2015, section 5)


class ToData(Path):
    """A path to the density exp(−E/T)/Z of data.

    Attributes:
        target: E, of the last density in the path's coordinates.
    """

    target: EnergyFn

    @abstractmethod
    def surprise(self, x: Batch) -> PerSample:
        """−log p − log Z ``[batch]`` at points of the data, in float64."""

    @abstractmethod
    def begin_at(self, x: Batch, generator: torch.Generator) -> Batch:
        """Points of the path's coordinates where chains on the target begin: at points x of the data."""


class Box(ToData):
    """On the domain.

    Args:
        energy: E, context bound, at rest.
        temperature: T.
        base: q, a density on the domain.
    """

    def __init__(self, energy: EnergyFn, temperature: float, base: Start) -> None:
        self.target = energy
        self.temperature = temperature
        self.base = base

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self.base.draw(n, generator).x

    def at(self, beta: Tensor) -> EnergyFn:
        def energy(x: Batch) -> PerSample:
            return beta * self.target(x).double() / self.temperature - (1 - beta) * self.base.log_prob(x).double()

        return energy

    def slope(self, x: Batch, before: Tensor, after: Tensor) -> PerSample:
        """−E/T − log q, wherever."""
        return -self.target(x).double() / self.temperature - self.base.log_prob(x).double()

    def grid(self, n: int, device: torch.device) -> Tensor:
        betas = torch.sigmoid(STEEPNESS * torch.linspace(-1, 1, n + 1, dtype=torch.float64, device=device))
        return (betas - betas[0]) / (betas[-1] - betas[0])

    def reach(self, betas: Tensor) -> Tensor:
        return torch.ones_like(betas, dtype=torch.float32)

    def surprise(self, x: Batch) -> PerSample:
        return self.target(x).double() / self.temperature

    def begin_at(self, x: Batch, generator: torch.Generator) -> Batch:
        return x


class Levels(ToData):
    """Through the levels of a noise process, evenly in β; before the first, between it and the Gaussian.

    Args:
        energy: E, of time, at rest.
        noise: the process that it is fitted to.
        n: levels.
        dataset: gives shape and device.
    """

    def __init__(self, energy: Energy, noise: NoiseProcess, n: int, dataset: Dataset) -> None:
        self.energy, self.noise, self.event_shape = noise.densities(energy), noise, dataset.event_shape
        self.times = torch.tensor(noise.levels(n), dtype=torch.float64, device=dataset.device)
        last = self.at(self.times.new_ones(()))
        self.target = lambda u: last(u).to(u.dtype)

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return torch.randn((n, *self.event_shape), generator=generator, device=self.times.device)

    def at(self, beta: Tensor) -> EnergyFn:
        before, time = self._place(beta)

        def energy(u: Batch) -> PerSample:
            d, squares = u[0].numel(), u.double().square().flatten(1).sum(1)
            mean, deviation = self.noise.gaussian(time)
            x = mean + deviation.to(u.dtype) * u
            e = self.energy(x, t=time.to(u.dtype).expand(len(u))).double() - d * deviation.log()
            return (1 - before) * e + before * 0.5 * (squares + d * math.log(2 * math.pi))

        return energy

    def slope(self, x: Batch, before: Tensor, after: Tensor) -> PerSample:
        """The mean between the two."""
        return (self.at(before)(x) - self.at(after)(x)) / (after - before)

    def grid(self, n: int, device: torch.device) -> Tensor:
        return torch.arange(n + 1, dtype=torch.float64, device=device) / n

    def reach(self, betas: Tensor) -> Tensor:
        """As the noise is wide, of which the kernel's own steps are those at the last level."""
        time = self._place(betas)[1]
        return (self.noise.width(time) / self.noise.width(self.times[-1]) / self.noise.gaussian(time)[1]).float()

    def surprise(self, x: Batch) -> PerSample:
        t = self.noise.t_density
        share = self.noise.share(t)
        e = self.energy(share * x, t=torch.full((len(x),), t, dtype=x.dtype, device=x.device))
        return e.double() - x[0].numel() * math.log(share)

    def begin_at(self, x: Batch, generator: torch.Generator) -> Batch:
        t = torch.full((len(x),), self.noise.t_density, dtype=x.dtype, device=x.device)
        mean, deviation = self.noise.gaussian(self.noise.t_density)
        return (self.noise.perturb(x, t, normal_like(x, generator)) - mean) / deviation

    def _place(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """How much of the Gaussian there is in f(β), and the time of the level."""
        n = len(self.times)
        place = betas * n - 1
        i = place.clamp(0, n - 1).floor().long()
        between = torch.lerp(self.times.take(i), self.times.take((i + 1).clamp(max=n - 1)), (place - i).clamp(0, 1))
        return (-place).clamp(0, 1), between
