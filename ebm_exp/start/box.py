"""Noise in the box of the data: uniform, or normal around its centre."""

import math
from abc import abstractmethod

import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, Conditional, PerSample, Points, Provided


class _Noise(Start):
    """Noise of the domain, under labels of the data's distribution.

    Args:
        dataset: gives the domain, the device and the labels.
        conditional: draw labels too.
    """

    def __init__(self, dataset: Provided[Dataset], conditional: Conditional = False) -> None:
        super().__init__()
        self.dataset, self.conditional = dataset, conditional

    def draw(self, n: int, generator: torch.Generator) -> Points:
        x = self._noise(n, generator)
        return Points(x, self.dataset.random_labels(n, generator) if self.conditional else None)

    @abstractmethod
    def _noise(self, n: int, generator: torch.Generator) -> Batch:
        """n points ``[n, *event]``."""


class Uniform(_Noise):
    """Uniform on the domain (see ``_Noise``)."""

    name = "uniform noise"

    def _noise(self, n: int, generator: torch.Generator) -> Batch:
        return self.dataset.domain.uniform(n, generator, self.dataset.device)

    def log_prob(self, x: Batch) -> PerSample:
        """−d log(high − low) ``[batch]``."""
        domain = self.dataset.domain
        flat = x.flatten(1)
        return torch.full_like(flat[:, 0], -flat.shape[1] * math.log(domain.high - domain.low))


class Normal(_Noise):
    """Normal around the domain's centre, one standard deviation to the boundary (see ``_Noise``).

    Args:
        dataset, conditional: as there.
        clamp: to the domain; without it, on [−1, 1], it is the noise that flows begin at.
    """

    name = "normal noise"

    def __init__(self, dataset: Provided[Dataset], conditional: Conditional = False, clamp: bool = True) -> None:
        super().__init__(dataset, conditional)
        self.clamp = clamp

    def _noise(self, n: int, generator: torch.Generator) -> Batch:
        return self.dataset.domain.normal(n, generator, self.dataset.device, self.clamp)
