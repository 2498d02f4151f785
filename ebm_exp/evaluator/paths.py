"""The paths of ``evaluator=ais``: to a density on the domain, or through the levels of a noise process.

box      f_β(x) = q(x)^(1−β) exp(−β E(x)/T) on the domain, q a start of known density.
levels   On all of space, T = 1: from the Gaussian of all noise, which is Ẽ of E = 0 at the first time, to
         exp(−Ẽ(x, t)) of one level after another, as far as the density nearest to the data, t*. There
         −log p(x) = Ẽ(share x, t*) + log Z − d log share at points x of the data, which are given clean: the model's
         density is that of data with the noise of t*, over its share.
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
        target: E, of the last density.
    """

    target: EnergyFn

    @abstractmethod
    def surprise(self, x: Batch) -> PerSample:
        """−log p − log Z ``[batch]`` at points of the data, in float64."""

    @abstractmethod
    def begin_at(self, x: Batch, generator: torch.Generator) -> Batch:
        """Where chains on the target begin that begin at points of the data."""


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
        self.energy = noise.densities(energy)
        self.target = noise.of_data(energy)
        self.gaussian = noise.energy_at(_Nothing(), noise.span[0])
        self.noise = noise
        self.event_shape = dataset.event_shape
        self.times = torch.tensor(noise.levels(n), dtype=torch.float64, device=dataset.device)

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self.noise.begin(torch.randn((n, *self.event_shape), generator=generator, device=self.times.device))

    def at(self, beta: Tensor) -> EnergyFn:
        before, time = self._place(beta)

        def energy(x: Batch) -> PerSample:
            e = self.energy(x, t=time.to(x.dtype).expand(len(x))).double()
            return (1 - before) * e + before * self.gaussian(x).double()

        return energy

    def slope(self, x: Batch, before: Tensor, after: Tensor) -> PerSample:
        """The mean between the two."""
        return (self.at(before)(x) - self.at(after)(x)) / (after - before)

    def grid(self, n: int, device: torch.device) -> Tensor:
        return torch.arange(n + 1, dtype=torch.float64, device=device) / n

    def reach(self, betas: Tensor) -> Tensor:
        """As the noise is wide."""
        return (self.noise.width(self._place(betas)[1]) / self.noise.width(self.times[-1])).float()

    def surprise(self, x: Batch) -> PerSample:
        share = self.noise.share(self.noise.t_density)
        return self.target(share * x).double() - x[0].numel() * math.log(share)

    def begin_at(self, x: Batch, generator: torch.Generator) -> Batch:
        t = torch.full((len(x),), self.noise.t_density, dtype=x.dtype, device=x.device)
        return self.noise.perturb(x, t, normal_like(x, generator))

    def _place(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """How much of the Gaussian there is in f(β), and the time of the level."""
        n = len(self.times)
        place = betas * n - 1
        i = place.clamp(0, n - 1).floor().long()
        between = torch.lerp(self.times.take(i), self.times.take((i + 1).clamp(max=n - 1)), (place - i).clamp(0, 1))
        return (-place).clamp(0, 1), between


class _Nothing(Energy):
    """E = 0 at all times."""

    context = ("t",)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return torch.zeros_like(context["t"])
