"""Fresh chains: samples drawn with the model alone, the same ones for the same seed however many are drawn at once."""

from typing import Literal

import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.random import generator
from ebm_exp.sampler.base import CHUNK, Callback, Chain, Sampler, run_chain
from ebm_exp.types import Batch, EnergyFn, PositiveInt


class FreshChains:
    """How a run draws samples from an energy: where chains start and how long they are.

    Args:
        sampler: the kernel.
        dataset: gives the domain and, for ``init: data``, the starting points.
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
        self, energy: EnergyFn, n: int, seed: int, buffer: Batch | None = None, callback: Callback | None = None
    ) -> Chain:
        """n chains ``[n, *event]``; noise comes in chunks of 64, so the first k are those of a smaller call.

        Args:
            energy: the target.
            n: number of chains.
            seed: names the chains.
            buffer: starting points ``[≥ n, *event]`` for ``init: buffer``.
            callback: see ``run_chain``.

        Raises:
            ValueError: when the chains should start from a buffer that is not there or too small.
        """
        device = self.dataset.device
        chunks = [generator(device, "fresh chains", seed, i) for i in range(-(-n // CHUNK))]
        if self.init == "buffer":
            if buffer is None or len(buffer) < n:
                held = 0 if buffer is None else len(buffer)
                raise ValueError(f"init: buffer has {held} points, asked for {n}")
            x = buffer[:n]
        elif self.init == "data":
            x = torch.cat([self.dataset.noisy(CHUNK, g) for g in chunks])[:n]
        else:
            x = torch.cat([self.dataset.domain.uniform(CHUNK, g) for g in chunks])[:n]
        return run_chain(self.sampler, energy, x, chunks, self.n_steps, callback)
