"""Fresh chains: samples drawn with the model alone, the same ones for the same seed however many are drawn at once."""

from collections.abc import Callable
from math import prod
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy, context_of
from ebm_exp.random import generator
from ebm_exp.sampler.base import CHUNK, Callback, Info, Sampler, State, run_chain
from ebm_exp.types import Batch, EnergyFn, Minibatch, NonNegativeInt, PositiveInt

Watch = Callable[[int, EnergyFn, State, Info], None]
AT_ONCE = {"cpu": 2**17, "cuda": 2**21}  # components of the chains that run together: what bounds the memory


class Samples(NamedTuple):
    """Points drawn from an energy."""

    x: Tensor  # [n, *event]
    y: Tensor | None  # [n], the labels they were drawn under; None for an energy without labels


class FreshChains:
    """How a run draws samples from an energy: where chains start and how long they are.

    Args:
        sampler: the kernel.
        dataset: gives the domain, the distribution of labels and, for ``init: data``, the starting points.
        n_steps: length of each chain.
        init: ``noise`` (uniform on the domain), ``data`` (noisy training points) or ``buffer`` (negatives of training).
        n_adapt: steps of each chain in which a sampler that can adapts its step size; null: half of the chain.
    """

    def __init__(
        self,
        sampler: Sampler,
        dataset: Dataset,
        n_steps: PositiveInt,
        init: Literal["noise", "data", "buffer"] = "noise",
        n_adapt: NonNegativeInt | None = None,
    ) -> None:
        self.sampler, self.dataset, self.n_steps, self.init = sampler, dataset, n_steps, init
        self.n_adapt = n_steps // 2 if n_adapt is None else n_adapt

    def draw(
        self,
        energy: Energy,
        n: int,
        seed: int,
        buffer: Minibatch | None = None,
        watch: Watch | None = None,
        y: Tensor | None = None,
        start: Batch | None = None,
        **context: Tensor,
    ) -> Samples:
        """n chains ``[n, *event]``; noise comes in chunks of 64, so the first k are those of a smaller call.

        Args:
            energy: the target.
            n: number of chains.
            seed: names the chains.
            buffer: starting points ``[≥ n, *event]`` and their labels for ``init: buffer``.
            watch: called with (step from 1, energy, state, info) after every step of the chains that run first
                together, at least 64 (or all); the energy is the target of these chains.
            y: labels ``[n]`` to draw under, for a class-conditional energy; by default those of the starting points,
                or random ones of the data's distribution for chains from noise.
            start: where the chains start ``[n, *event]``, whatever ``init`` says.
            context: what the energy needs beside labels, each ``[n, …]``.

        Raises:
            ValueError: when the chains should start from a buffer that is not there or too small, or labels are asked
                of an energy that knows none.
        """
        device, conditional = self.dataset.device, "y" in energy.context
        if y is not None and not conditional:
            raise ValueError(f"label: {type(energy).__name__} is not class-conditional, it draws no class")
        if start is None and self.init == "buffer" and (buffer is None or len(buffer.x) < n):
            raise ValueError(f"init: buffer has {0 if buffer is None else len(buffer.x)} points, asked for {n}")
        size = CHUNK * max(1, AT_ONCE[device.type] // (CHUNK * prod(self.dataset.event_shape)))
        points, classes = [], []
        for first in range(0, n, size):
            rows = slice(first, min(first + size, n))
            k = rows.stop - first
            seeded = [generator(device, "fresh chains", seed, first // CHUNK + i) for i in range(-(-k // CHUNK))]
            x, labels = self._start(seeded, first, conditional, buffer)
            x = x[:k] if start is None else start[rows]
            labels = y[rows] if y is not None else None if labels is None else labels[:k]
            bound = energy.condition(**context_of(energy, y=labels, **{name: c[rows] for name, c in context.items()}))
            callback = None if watch is None or first else _watching(watch, bound)
            points.append(run_chain(self.sampler, bound, x, seeded, self.n_steps, callback, self.n_adapt).x)
            classes += [] if labels is None else [labels]
        return Samples(torch.cat(points), torch.cat(classes) if classes else None)

    def _start(
        self, seeded: list[torch.Generator], first: int, conditional: bool, buffer: Minibatch | None
    ) -> Minibatch:
        """Starting points of the chains from the ``first`` on, a chunk for each generator."""
        if self.init == "buffer":
            assert buffer is not None
            rows = slice(first, first + CHUNK * len(seeded))
            starts = [Minibatch(buffer.x[rows], None if buffer.y is None else buffer.y[rows])]
        elif self.init == "data":
            starts = [self.dataset.noisy(CHUNK, g) for g in seeded]
        else:
            starts = [
                Minibatch(
                    self.dataset.domain.uniform(CHUNK, g), self.dataset.random_labels(CHUNK, g) if conditional else None
                )
                for g in seeded
            ]
        labels = [start.y for start in starts if conditional and start.y is not None]
        return Minibatch(torch.cat([start.x for start in starts]), torch.cat(labels) if labels else None)


def _watching(watch: Watch, energy: EnergyFn) -> Callback:
    return lambda step, state, info: watch(step, energy, state, info)
