"""Fresh chains: Markov chains from a start, run with the model alone."""

from collections.abc import Sequence
from typing import Annotated

from torch import Generator, Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.engine.base import Engine, Run
from ebm_exp.engine.target import Target
from ebm_exp.sampler.base import Sampler, describe_temperature
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling.fresh import Fresh
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, From, NonNegativeInt, Points, Positive, PositiveInt, Provided


class Chains(Fresh):
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
        self.sampler = sampler
        self.engine = engine
        self.dataset = dataset
        self.temperature = temperature
        self.start = start
        self.n_steps = n_steps
        self.n_adapt = n_adapt

    def moved_by(self, energy: Energy) -> Energy:
        return energy.of_data()

    def _begin(self, n: int, generators: Sequence[Generator], conditional: bool) -> Points:
        return self.start.draw_chunks(n, generators)

    def _move(
        self,
        target: Target,
        x: Batch,
        generators: Sequence[Generator],
        watch: Watch | None,
        context: dict[str, Tensor | None],
    ) -> Batch:
        n_adapt = self.n_steps // 2 if self.n_adapt is None else self.n_adapt
        how = Run(self.temperature, self.n_steps, watch, n_adapt)
        return self.engine.run(self.sampler, target, x, generators, how, **context).x

    def kernel(self) -> str:
        temperature = self.temperature if self.sampler.temperature is None else self.sampler.temperature
        return f"{type(self.sampler).__name__}, {describe_temperature(self.sampler, temperature)}"

    def describe(self) -> str:
        return f"{self.n_steps:,} steps from {self.start.name}"
