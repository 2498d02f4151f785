"""A start within the box: what lies outside is drawn anew, and the density is divided by the mass that is inside."""

import math

import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.random import generator as derived_generator
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, PerSample, Points, Provided

N_MASS = 2**16  # draws that the mass is counted by: its logarithm is known to a few thousandths
BLOCK = 2**12  # draws at once
LEAST = 1e-3  # a mass that rejection still finds


class Truncated(Start):
    """q(x | x in the box) of a start q on all of space, by rejection.

    Args:
        start: q, of known density.
        dataset: gives the box.

    Raises:
        ValueError: when q has no density, or nearly all of its points lie outside the box.
    """

    def __init__(self, start: Start, dataset: Provided[Dataset]) -> None:
        super().__init__()
        if not start.has_density:
            raise ValueError(f"start: needs a known density, {start.name} has none")
        self.start, self.dataset, self.name = start, dataset, f"{start.name}, within the box"
        device = next((buffer.device for buffer in start.buffers()), dataset.device)
        g = derived_generator(device, "truncated start", start.name)
        inside = sum(self._inside(start.draw(BLOCK, g).x).sum() for _ in range(N_MASS // BLOCK))
        self.mass = float(inside) / N_MASS
        if self.mass < LEAST:
            raise ValueError(f"start: {self.mass:.2%} of {start.name} lie within the box, too few to draw from it")
        self.log_mass = math.log(self.mass)

    def _inside(self, x: Batch) -> torch.Tensor:
        domain = self.dataset.domain
        return ((x >= domain.low) & (x <= domain.high)).flatten(1).all(1)

    def draw(self, n: int, generator: torch.Generator) -> Points:
        """n independent points ``[n, *event]`` of the box.

        So many are drawn at once that n lie inside, to eight standard deviations: nothing waits for a count.
        """
        enough = math.ceil((n + 8 * math.sqrt(n * (1 - self.mass))) / self.mass) + 8
        x, y = self.start.draw(enough, generator)
        first = self._inside(x).logical_not().to(torch.uint8).argsort(stable=True)[:n]
        domain = self.dataset.domain
        return Points(x[first].clamp(domain.low, domain.high), None if y is None else y[first])

    def log_prob(self, x: Batch) -> PerSample:
        """Log-density ``[batch]`` at points of the box, in nats."""
        return self.start.log_prob(x) - self.log_mass
