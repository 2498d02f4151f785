"""What every normaliser is: a loss of an energy at noised points by which its constant is the same at all times.

A loss on ∇ₓE leaves E free by a function of time: exp(−Ẽ(x, t)) is p_t but for a factor of each time. With one factor
for all times, which the noisiest one tells (there p_t is a Gaussian, whatever the data), −Ẽ is log p in one pass.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch

from ebm_exp.energy.base import Energy, Slopes
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.part import Part
from ebm_exp.random import Source, draw_rows
from ebm_exp.types import Batch, NonNegative, PerSample, PositiveInt, Probability


class Seen(NamedTuple):
    """Noised points of a training step, with their energies."""

    x: Batch  # as the noise process makes them
    t: PerSample
    data: Batch  # what they come from,
    z: Batch  # and the noise in them
    slopes: Slopes  # of E


class Normaliser(Part, ABC):
    """A loss beside that of ∇E, its term ``name``.

    Half of a step's points are of times of its own (``NoiseProcess.sample_wide``), so that none is left out; both
    losses are of all points.

    Args:
        weight: its factor.
        after: share of the training before it is at work, while ∇E is fitted alone.
        n_steps: of the training.
    """

    active = True
    name = "normaliser"

    def __init__(
        self, weight: NonNegative = 1.0, after: Probability = 0.25, n_steps: PositiveInt | None = None
    ) -> None:
        self.weight, self.after = weight, after
        self.first_step = 0 if n_steps is None else round(after * n_steps)

    def at_work(self, step: int) -> bool:
        """Whether it is, at an optimizer step (from 0)."""
        return self.active and step >= self.first_step

    def describe(self) -> str:
        """What the outline of a run says of it: ``one for all noise levels, by time_score from step 1,500``."""
        return f"one for all noise levels, by {self.name} from step {self.first_step:,}"

    def sample_t(self, noise: NoiseProcess, x: Batch, source: Source) -> PerSample:
        """Times ``[batch]`` at which it is looked, independent and of one distribution: half as training looks, half of
        its own."""

        def draw(n: int, g: torch.Generator) -> torch.Tensor:
            own = torch.rand(n, generator=g, device=x.device) < 0.5
            return torch.where(own, noise.sample_wide(n, g, x.device), noise.sample_t(n, g, x.device))

        return noise.within(draw_rows(len(x), source, draw).to(x.dtype))

    @abstractmethod
    def loss(self, energy: Energy, noise: NoiseProcess, seen: Seen, source: Source) -> PerSample:
        """The loss ``[batch]``, without its weight.

        Args:
            energy: E, of time.
            noise: the process that it is fitted to.
            seen: where it is looked at.
            source: of random numbers.
        """


class NoNormaliser(Normaliser):
    """Each time keeps a constant of its own."""

    active = False

    def __init__(self) -> None:
        super().__init__(weight=0.0)

    def loss(self, energy: Energy, noise: NoiseProcess, seen: Seen, source: Source) -> PerSample:
        """Nothing."""
        return torch.zeros_like(seen.t)
