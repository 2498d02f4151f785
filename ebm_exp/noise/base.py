"""What every noise process is: times, the points of each time, and the energy of their density."""

from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.part import Part
from ebm_exp.types import Batch, PerSample, per_point

Time = TypeVar("Time", float, Tensor)


class NoiseProcess(Part, ABC):
    """How data becomes noise.

    Attributes:
        t_density: the time whose density images and evaluators mean: as near to the data as it is safe.
    """

    t_density: float

    @abstractmethod
    def sample_t(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        """Times ``[n]`` at which training looks."""

    def perturb(self, x: Batch, t: PerSample, z: Batch) -> Batch:
        """The points of times t that come from data x and standard normal noise z, all ``[batch, *event]``."""
        t = per_point(t, x)
        return self.share(t) * x + self.width(t) * z

    @abstractmethod
    def levels(self, n: int, first: float | None = None) -> list[float]:
        """n times from ``first`` to ``t_density``, between which densities change about as much each time.

        Args:
            n: how many.
            first: a time; None: one at which all is noise.
        """

    @abstractmethod
    def share(self, t: Time) -> Time:
        """What a point of time t is multiplied by before noise is added."""

    @abstractmethod
    def width(self, t: Time) -> Time:
        """Standard deviation of the noise in a point of time t."""

    @abstractmethod
    def time_of(self, noise_std: float) -> float:
        """The time at which ``width/share`` is so much: points of that time are noisy data, but for their scale."""

    @abstractmethod
    def scaled_score(self, x: Batch, velocity: Batch, t: float) -> Batch:
        """``width(t)`` · ∇ log density of the points of time t, from their velocity −∇E."""

    @abstractmethod
    def densities(self, energy: Energy) -> Energy:
        """−log density of the points of time t, but for a constant, at T = 1; t is its context.

        Args:
            energy: of time, fitted to this process.
        """

    def energy_at(self, energy: Energy, t: float) -> Energy:
        """``densities`` at one time."""
        return AtTime(self.densities(energy), t)

    def of_data(self, energy: Energy) -> Energy:
        """``energy_at`` the time ``t_density``."""
        return self.energy_at(energy, self.t_density)


class AtTime(Energy):
    """An energy of time at one time t.

    Args:
        energy: E(x, t).
        t: the time.
    """

    def __init__(self, energy: Energy, t: float) -> None:
        super().__init__()
        self.energy, self.t = energy, t
        self.context = tuple(name for name in energy.context if name != "t")
        self.optional = energy.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return self.energy(x, t=torch.full((len(x),), self.t, dtype=x.dtype, device=x.device), **context)
