"""Fresh chains: Markov chains from a start, run with the model alone."""

from math import prod
from typing import Annotated, Any

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.random import CHUNK, Stream
from ebm_exp.sampler.base import Sampler, describe_temperature
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling.base import Sampling
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, From, NonNegativeInt, Points, Positive, PositiveInt, Provided

AT_ONCE = {"cpu": 2**17, "cuda": 2**21, "meta": 2**17}  # components of the chains that run together: bounds the memory


class Chains(Sampling):
    """Chains of one kernel.

    Args:
        sampler: the kernel.
        engine: runs the chains.
        dataset: gives the shape of points and the device.
        temperature: T for a kernel that has none of its own: that of the density which the run trains.
        start: where chains start.
        n_steps: length of each chain.
        n_adapt: steps of each chain in which a sampler that can adapts its step size; null: half of the chain.
    """

    def __init__(
        self,
        sampler: Provided[Sampler],
        engine: Provided[Engine],
        dataset: Provided[Dataset],
        start: Start,
        n_steps: PositiveInt,
        temperature: Annotated[Positive, From("temperature")] = 1.0,
        n_adapt: NonNegativeInt | None = None,
    ) -> None:
        self.sampler, self.engine, self.dataset, self.temperature = sampler, engine, dataset, temperature
        self.start, self.n_steps, self.n_adapt = start, n_steps, n_adapt

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
        energy, device = energy.of_data(), self.dataset.device
        generators = stream.for_chains(device, 0, n)
        begin = self.start.draw_chunks(n, generators)  # also with a start that is given: the noise stays the same
        x = begin.x if start is None else start
        labels = (y if y is not None else begin.y) if energy.conditional or y is not None else None
        target = self.engine.target(energy)
        n_adapt = self.n_steps // 2 if self.n_adapt is None else self.n_adapt
        size = CHUNK * max(1, AT_ONCE[device.type] // (CHUNK * prod(self.dataset.event_shape)))
        ends = []
        everything: dict[str, Any] = dict(context) | {"y": labels}
        for first in range(0, n, size):
            rows = slice(first, min(first + size, n))
            chain = self.engine.run(
                self.sampler,
                target,
                x[rows],
                generators[first // CHUNK : -(-rows.stop // CHUNK)],
                temperature=self.temperature,
                n_steps=self.n_steps,
                watch=None if first else watch,
                n_adapt=n_adapt,
                **{name: None if each is None else each[rows] for name, each in everything.items()},  # type: ignore[arg-type]
            )
            ends.append(chain.x)
        return Points(torch.cat(ends), labels)

    def kernel(self) -> str:
        temperature = self.temperature if self.sampler.temperature is None else self.sampler.temperature
        return f"{type(self.sampler).__name__}, {describe_temperature(self.sampler, temperature)}"

    def describe(self) -> str:
        return f"{self.n_steps:,} steps from {self.start.name}"
