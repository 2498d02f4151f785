"""What every noise process is: times, the points of each time, and the energy of their density."""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy, Slopes, Standard
from ebm_exp.noise.constant import measure
from ebm_exp.part import Part
from ebm_exp.types import Batch, PerSample, per_point

Time = TypeVar("Time", float, Tensor)
BLOCK = 2**12  # points whose energies are computed at once


class Fit(NamedTuple):
    """What an energy E of time is fitted to at noised points: −∇E at ``x`` and time ``t`` to ``aim``."""

    x: Batch  # as the energy sees the points
    t: PerSample  # as it sees their times
    aim: Batch


class Course(NamedTuple):
    """Times from noise to data, along which points are carried."""

    times: list[float]  # one more than steps
    lengths: list[float]  # of the steps, negative where times fall


class NoiseProcess(Part, ABC):
    """How data becomes noise: x_t = share(t) · x + width(t) · z,  z ~ N(0, I).

    −log p_t, the energies of the densities of x_t, are ``densities(energy)`` but for a number of each time, which is
    the same for all times where a ``normaliser`` was at work.

    Attributes:
        potential: what −∇E is fitted to: the ``velocity`` of a straight line, whose E is nearly quadratic in x at both
            ends, or the ``residual`` that a Gaussian leaves.
        known_constant: what ``log_constant`` is whatever E is; None: it is measured.
    """

    potential: Literal["velocity", "residual"]
    known_constant: float | None = None

    @property
    @abstractmethod
    def span(self) -> tuple[float, float]:
        """The time of the noise, and that of the density which images and evaluators mean: as near to the data as it
        is safe."""

    @property
    def t_density(self) -> float:
        """The second of ``span``."""
        return self.span[1]

    @abstractmethod
    def sample_t(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        """Times ``[n]`` at which training looks."""

    @abstractmethod
    def sample_wide(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        """Times ``[n]`` from the noise to ``t_density``, each change of the density as often: for a normaliser."""

    def within(self, t: PerSample) -> PerSample:
        """The times that are nearest to t and in ``span``."""
        low, high = sorted(self.span)
        return t.clamp(low, high)

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
    def course(self, n: int, t_end: float = 1.0) -> Course:
        """n steps from noise to data.

        Args:
            n: how many.
            t_end: where they end, of a process with times beyond the data.

        Raises:
            ValueError: when there are none.
        """

    @abstractmethod
    def gaussian(self, t: Time) -> tuple[Tensor, Time]:
        """Mean ``[*event]`` or ``[]`` and deviation of points of time t, of data that have those which the process
        knows, or else of standard normal data."""

    def begin(self, z: Batch) -> Batch:
        """Points of the first time, of standard normal noise ``[batch, *event]``."""
        mean, deviation = self.gaussian(self.span[0])
        return mean + deviation * z

    @abstractmethod
    def share(self, t: Time) -> Time:
        """What a point of time t is multiplied by before noise is added."""

    @abstractmethod
    def width(self, t: Time) -> Time:
        """Standard deviation of the noise in a point of time t."""

    @abstractmethod
    def is_late(self, t: Tensor) -> Tensor:
        """Whether points of times t ``[batch]`` are more data than noise."""

    @abstractmethod
    def time_of(self, noise_std: float) -> float:
        """The time at which ``width/share`` is so much: points of that time are noisy data, but for their scale."""

    @abstractmethod
    def fit(self, x: Batch, t: PerSample, z: Batch) -> Fit:
        """What −∇E is fitted to at the points of times t that come from data x and noise z."""

    @abstractmethod
    def of_no_noise(self, x: Batch) -> tuple[Batch, PerSample]:
        """Points of data x as an energy sees them where noise is least, and their times ``[batch]``."""

    @abstractmethod
    def densities(self, energy: Energy) -> Energy:
        """Ẽ(x, t), the energies of the densities of the points of time t at T = 1; t is their context.

        Args:
            energy: of time, fitted to this process.
        """

    @abstractmethod
    def standard(self, t: PerSample) -> Standard:
        """What becomes of standard normal data, of mean and deviation of the data's where the process knows them.

        Args:
            t: times as an energy sees them (``Fit``).
        """

    @abstractmethod
    def carrier(self, energy: Energy) -> Energy:
        """V(x, t) of dx/dt = −∇V, which carries noise to data along ``course``."""

    @abstractmethod
    def scaled_score(self, x: Batch, velocity: Batch, t: float) -> Batch:
        """``width(t)`` · ∇ log density of the points of time t, from their dx/dt."""

    @abstractmethod
    def pace(self, t: Time) -> Time:
        """The time in which a density of time t changes: a derivative by t times it is of order one per dimension."""

    @abstractmethod
    def drift(self, x: Batch, t: PerSample, slopes: Slopes) -> PerSample:
        """``pace(t)`` · ∂Ẽ/∂t at fixed points x ``[batch, *event]`` of times t, from the slopes of E there."""

    @abstractmethod
    def drift_of_noise(self, x: Batch, z: Batch) -> PerSample:
        """``pace(t)`` · ∂ log p(x_t | x)/∂t at fixed x_t; its mean given x_t is that of log p_t (as for the score,
        Vincent 2011)."""

    def energy_at(self, energy: Energy, t: float) -> Energy:
        """``densities`` at one time."""
        return AtTime(self.densities(energy), t)

    def of_data(self, energy: Energy) -> Energy:
        """``energy_at`` the time ``t_density``."""
        return self.energy_at(energy, self.t_density)

    def log_constant(self, energy: Energy, dataset: Dataset, generator: torch.Generator) -> tuple[float, float]:
        """log ∫ exp(−Ẽ(x, t)) dx in nats and its standard error, one number of all times where a ``normaliser`` was at
        work; see ``constant.py`` where it is measured."""
        if self.known_constant is not None:
            return self.known_constant, 0.0
        return measure(self, energy, dataset, generator)

    def log_density(self, energy: Energy, x: Batch, t: float, log_z: float) -> PerSample:
        """log p ``[batch]`` of data with noise of deviation ``width/share`` of time t, at points x of the data's
        coordinates: −Ẽ(share · x, t) − log_z + d log share, in nats, float64.

        Args:
            energy: of time, fitted to this process.
            x: ``[batch, *event]``.
            t: the time.
            log_z: the constant, see ``log_constant``.
        """
        share, density = self.share(t), self.energy_at(energy, t)
        e = torch.cat([density(share * block).double() for block in x.split(BLOCK)])
        return x[0].numel() * math.log(share) - e - log_z


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
