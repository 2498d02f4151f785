"""What every noise process is: times, the points of each time, and the energy of their density."""

from abc import ABC, abstractmethod

import torch

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample


class NoiseProcess(ABC):
    """How data becomes noise.

    Attributes:
        t_density: the time whose density images and evaluators mean: as near to the data as it is safe.
    """

    t_density: float

    @abstractmethod
    def sample_t(self, n: int, generator: torch.Generator, device: torch.device) -> PerSample:
        """Times ``[n]`` at which training looks."""

    @abstractmethod
    def perturb(self, x: Batch, t: PerSample, z: Batch) -> Batch:
        """The points of times t that come from data x and standard normal noise z, all ``[batch, *event]``."""

    @abstractmethod
    def energy_at(self, energy: Energy, t: float) -> Energy:
        """−log density of the points of time t, but for a constant, at T = 1.

        Args:
            energy: of time, fitted to this process.
            t: the time.
        """

    def of_data(self, energy: Energy) -> Energy:
        """``energy_at`` the time ``t_density``."""
        return self.energy_at(energy, self.t_density)
