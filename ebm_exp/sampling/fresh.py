"""Fresh samples: points that begin somewhere and are moved, so many at once as the memory takes."""

from abc import abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Generator, Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.energy.joint import Labelled
from ebm_exp.engine.base import Engine
from ebm_exp.engine.target import Target
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.random import CHUNK, Stream
from ebm_exp.ranks import ALONE
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling.base import Sampling
from ebm_exp.types import Batch, Points

AT_ONCE = {"cpu": 2**17, "cuda": 2**21, "meta": 2**17}  # components of the points that move together: bounds the memory


class Fresh(Sampling):
    """What Markov chains and flows have in common.

    Attributes:
        engine: differentiates the energy.
        dataset: gives the shape of points and the device.
    """

    engine: Engine
    dataset: Dataset

    def begins(self, energy: Energy, n: int, stream: Stream) -> Points:
        return self._begin(n, stream.for_chains(self.dataset.device, 0, n), energy.conditional)

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
        if y is not None and "y" not in (*energy.context, *energy.optional):
            raise ValueError(f"label: {type(energy).__name__} is not class-conditional, it draws no class")
        energy = self.moved_by(energy if y is None or energy.conditional else Labelled(energy))
        device = self.dataset.device
        generators = stream.for_chains(device, 0, n)
        begin = self._begin(n, generators, energy.conditional)  # also with a start that is given: noise stays the same
        x = begin.x if start is None else start
        labels = (y if y is not None else begin.y) if energy.conditional else None
        target = self.engine.target(energy)
        size = CHUNK * max(1, AT_ONCE[device.type] // (CHUNK * prod(self.dataset.event_shape)))
        everything: dict[str, Any] = dict(context) | {"y": labels}
        # Each rank moves some chunks; where somebody watches, each moves all of them.
        ranks = stream.ranks if watch is None else ALONE
        share = -(-len(generators) // ranks.n) * CHUNK
        ends = []
        for first in range(ranks.rank * share, min((ranks.rank + 1) * share, n), size):
            rows = slice(first, min(first + size, (ranks.rank + 1) * share, n))
            some = generators[first // CHUNK : -(-rows.stop // CHUNK)]
            bound = {name: None if each is None else each[rows] for name, each in everything.items()}
            ends.append(self._move(target, x[rows], some, None if first else watch, bound))
        if ranks.alone:
            return Points(torch.cat(ends), labels)
        moved = torch.zeros(share, *x.shape[1:], dtype=x.dtype, device=x.device)
        if ends:
            mine = torch.cat(ends)
            moved[: len(mine)] = mine
        return Points(ranks.gather(moved)[:n], labels)

    def moved_by(self, energy: Energy) -> Energy:
        """The energy that moves points, of the one that is given; what it returns moves itself."""
        return energy

    @abstractmethod
    def _begin(self, n: int, generators: Sequence[Generator], conditional: bool) -> Points:
        """Where n points begin ``[n, *event]``, each chunk of 64 from a generator of its own; labels if conditional."""

    @abstractmethod
    def _move(
        self,
        target: Target,
        x: Batch,
        generators: Sequence[Generator],
        watch: Watch | None,
        context: dict[str, Tensor | None],
    ) -> Batch:
        """Where points end that begin at x ``[batch, *event]``, with the generators of their chunks."""


def first_points(
    noise: NoiseProcess, dataset: Dataset, n: int, generators: Sequence[Generator], conditional: bool
) -> Points:
    """Noise ``[n, *event]`` of a process, each chunk of 64 from a generator of its own; labels if conditional."""
    x = noise.begin(normal_chunks(torch.empty(n, *dataset.event_shape, device=dataset.device), generators))
    if not conditional:
        return Points(x)
    return Points(x, torch.cat([dataset.random_labels(CHUNK, g) for g in generators])[:n])


def normal_chunks(like: Batch, generators: Sequence[Generator]) -> Batch:
    """Standard normal numbers like ``[n, *event]``, each chunk of 64 from a generator of its own."""
    shape = (CHUNK, *like.shape[1:])
    numbers = [torch.randn(shape, generator=g, device=like.device, dtype=like.dtype) for g in generators]
    return torch.cat(numbers)[: len(like)]
