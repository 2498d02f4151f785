"""What every way of sampling is: fresh points of an energy, the same ones for the same seed."""

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.part import Part
from ebm_exp.random import Stream
from ebm_exp.sampler.chain import Watch
from ebm_exp.types import Batch, Points


class Sampling(Part, ABC):
    """How images, evaluators and sample.py draw samples.

    Attributes:
        n_steps: steps from the start to a sample.
    """

    n_steps: int

    @abstractmethod
    def draw(
        self,
        energy: Energy,
        n: int,
        stream: Stream,
        *,
        y: Tensor | None = None,
        start: Batch | None = None,
        watch: Watch | None = None,
        **context: Tensor,
    ) -> Points:
        """n samples ``[n, *event]``; the first k are those of a smaller call.

        Args:
            energy: what is sampled.
            n: number of samples.
            stream: names the random numbers.
            y: labels ``[n]`` to draw under, for a class-conditional energy; by default those of the starting points.
            start: where to start ``[n, *event]``, whatever the settings say.
            watch: called with (step from 1, energy, state, info) after every step of those that run first together, at
                least 64 (or all).
            context: what the energy needs beside labels, each ``[n, …]``.

        Raises:
            ValueError: when labels are asked of an energy that knows none.
        """

    def begins(self, energy: Energy, n: int, stream: Stream) -> Points | None:
        """Where ``draw`` begins, ``[n, *event]``; None when it begins nowhere."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Start and length in a few words, for titles and protocols: ``300 steps from uniform noise``."""

    def kernel(self) -> str:
        """What moves the points and at which temperature, in a few words; empty where nothing is to say."""
        return ""

    def replace(self, **changes: Any) -> Self:
        """The same with other settings; this one stays as it is.

        Raises:
            AttributeError: when there is no such setting.
        """
        other = copy.copy(self)
        for name, value in changes.items():
            getattr(self, name)
            setattr(other, name, value)
        return other
