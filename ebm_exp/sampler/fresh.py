"""Fresh chains: samples drawn with the model alone, the same ones for the same seed however many are drawn at once."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy, context_of
from ebm_exp.random import generator
from ebm_exp.sampler.base import CHUNK, Callback, Sampler, run_chain
from ebm_exp.types import Minibatch, PositiveInt


class Samples(NamedTuple):
    """Points drawn from an energy."""

    x: Tensor  # [n, *event]
    y: Tensor | None  # [n], the labels they were drawn under; None for an energy without labels


class FreshChains:
    """How a run draws samples from an energy: where chains start and how long they are.

    Args:
        sampler: the kernel.
        dataset: gives the domain, the law of labels and, for ``init: data``, the starting points.
        n_steps: length of each chain.
        init: ``noise`` (uniform on the domain), ``data`` (noisy training points) or ``buffer`` (negatives of training).
    """

    def __init__(
        self,
        sampler: Sampler,
        dataset: Dataset,
        n_steps: PositiveInt,
        init: Literal["noise", "data", "buffer"] = "noise",
    ) -> None:
        self.sampler, self.dataset, self.n_steps, self.init = sampler, dataset, n_steps, init

    def draw(
        self,
        energy: Energy,
        n: int,
        seed: int,
        buffer: Minibatch | None = None,
        callback: Callback | None = None,
        y: Tensor | None = None,
    ) -> Samples:
        """n chains ``[n, *event]``; noise comes in chunks of 64, so the first k are those of a smaller call.

        Args:
            energy: the target.
            n: number of chains.
            seed: names the chains.
            buffer: starting points ``[≥ n, *event]`` and their labels for ``init: buffer``.
            callback: see ``run_chain``.
            y: labels ``[n]`` to draw under, for a class-conditional energy; by default those of the starting points,
                or random ones of the data's law for chains from noise.

        Raises:
            ValueError: when the chains should start from a buffer that is not there or too small, or labels are asked
                of an energy that knows none.
        """
        device, conditional = self.dataset.device, "y" in energy.context
        if y is not None and not conditional:
            raise ValueError(f"label: {type(energy).__name__} is not class-conditional, it draws no class")
        chunks = [generator(device, "fresh chains", seed, i) for i in range(-(-n // CHUNK))]
        if self.init == "buffer":
            if buffer is None or len(buffer.x) < n:
                held = 0 if buffer is None else len(buffer.x)
                raise ValueError(f"init: buffer has {held} points, asked for {n}")
            starts = [buffer]
        elif self.init == "data":
            starts = [self.dataset.noisy(CHUNK, g) for g in chunks]
        else:
            starts = [
                Minibatch(
                    self.dataset.domain.uniform(CHUNK, g), self.dataset.random_labels(CHUNK, g) if conditional else None
                )
                for g in chunks
            ]
        x = torch.cat([start.x for start in starts])[:n]
        if conditional and y is None:
            y = torch.cat([start.y for start in starts if start.y is not None])[:n]
        bound = energy.condition(**context_of(energy, y=y))
        return Samples(run_chain(self.sampler, bound, x, chunks, self.n_steps, callback).x, y)
