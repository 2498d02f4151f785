"""A start within the box: what lies outside is drawn anew, and the density is divided by the mass that is inside."""

import math

import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.random import generator as derived_generator
from ebm_exp.start.base import Start, concatenate
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
        g = derived_generator(dataset.device, "truncated start", start.name)
        inside = sum(self._inside(start.draw(BLOCK, g).x).sum() for _ in range(N_MASS // BLOCK))
        mass = float(inside) / N_MASS
        if mass < LEAST:
            raise ValueError(f"start: {mass:.2%} of {start.name} lie within the box, too few to draw from it")
        self.mass, self.log_mass = mass, math.log(mass)

    def _inside(self, x: Batch) -> torch.Tensor:
        domain = self.dataset.domain
        return ((x >= domain.low) & (x <= domain.high)).flatten(1).all(1)

    def draw(self, n: int, generator: torch.Generator) -> Points:
        """n independent points ``[n, *event]`` of the box."""
        found, n_found = [], 0
        while n_found < n:
            enough = int((n - n_found) / self.mass * 1.1) + 8
            points = self.start.draw(min(enough, BLOCK), generator)
            inside = self._inside(points.x)
            found.append(Points(points.x[inside], None if points.y is None else points.y[inside]))
            n_found += int(inside.sum())
        return concatenate(found, n)

    def log_prob(self, x: Batch) -> PerSample:
        """Log-density ``[batch]`` at points of the box, in nats."""
        return self.start.log_prob(x) - self.log_mass
