"""What every start is: a distribution of points, with labels where chains run under them.

Chains of a buffer begin anew from one, fresh chains begin at one, jumps are proposed from one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ebm_exp.part import Part
from ebm_exp.random import CHUNK
from ebm_exp.types import Batch, PerSample, Points


class Start(nn.Module, Part, ABC):
    """A distribution of points of the data's shape.

    Attributes:
        name: what titles and protocols say, e.g. ``uniform noise``.
        binary: points have two levels, and ``log_prob`` is of probabilities.
    """

    name: str
    binary: bool = False

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Points:
        """n points ``[n, *event]``; labels ``[n]`` where chains run under labels."""

    def draw_chunks(self, n: int, generators: Sequence[torch.Generator]) -> Points:
        """n points, each chunk of 64 from a generator of its own: the first do not depend on how many are drawn."""
        chunks = [self.draw(CHUNK, g) for g in generators]
        return concatenate(chunks, n)

    @property
    def has_density(self) -> bool:
        """Whether ``log_prob`` is known."""
        return type(self).log_prob is not Start.log_prob

    def log_prob(self, x: Batch) -> PerSample:
        """Log-density ``[batch]`` at points of the domain, in nats.

        Raises:
            TypeError: when it is not known.
        """
        raise TypeError(f"the density of {self.name} is not known")


def concatenate(parts: Sequence[Points], n: int) -> Points:
    """The first n points of several together; labels if all parts have them."""
    labels: list[Tensor] = [part.y for part in parts if part.y is not None]
    y = torch.cat(labels)[:n] if len(labels) == len(parts) else None
    return Points(torch.cat([part.x for part in parts])[:n], y)
