"""Chains from noise to data through the densities between: annealed Markov chain Monte Carlo on a noise process.

At each level of noise a kernel runs on −log density of the points noised so much (Song & Ermon 2019, arXiv 1907.05600;
with Metropolis kernels, and for products of models, Du et al. 2023, "Reduce, Reuse, Recycle", arXiv 2302.11552). So
the density of a composition is sampled where it has no velocity of its own.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.engine.base import Engine, Run
from ebm_exp.engine.target import Target
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.sampler.base import Info, Sampler, State, describe_temperature
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling.fresh import Fresh, first_points
from ebm_exp.types import Batch, EnergyFn, NonNegativeInt, Points, Positive, PositiveInt, Provided


class Levels(Fresh):
    """Chains of one kernel on one level of noise after another, at T = 1.

    Steps are as long as the noise is wide: the sampler's step size is that of the last level, and what a kernel that
    adapts has found at one level the next goes on with. Noised points lie beyond
    the data's domain, so no wall reflects or clamps them; the ends are not clamped either.

    Args:
        sampler: the kernel.
        engine: runs the chains.
        dataset: gives shape, device and labels.
        noise: the noise process, whose last level is ``t_density``.
        n_levels: how many, at most one for each step.
        n_steps: of all levels together; what does not divide is the last level's.
        n_adapt: steps of each level in which a sampler that can adapts its step size; null: half of them.
        t_first: time of the first level; null: all is noise there.

    Raises:
        ValueError: when the kernel moves points of two levels, or the first level is not before the last.
    """

    def __init__(
        self,
        sampler: Provided[Sampler],
        engine: Provided[Engine],
        dataset: Provided[Dataset],
        noise: Provided[NoiseProcess],
        n_levels: PositiveInt = 20,
        n_steps: PositiveInt = 200,
        n_adapt: NonNegativeInt | None = None,
        t_first: Positive | None = None,
    ) -> None:
        if sampler.binary:
            raise ValueError(f"sampler: {type(sampler).__name__} moves points of two levels, noised points have more")
        low, high = sorted(noise.span)
        if t_first is not None and not low < t_first < high:
            raise ValueError(f"t_first: must be in ({low:g}, {high:g}), before the last level, got {t_first:g}")
        self.sampler = sampler.unbounded()
        self.engine = engine
        self.dataset = dataset
        self.noise = noise
        self.n_levels = n_levels
        self.n_steps = n_steps
        self.n_adapt = n_adapt
        self.t_first = t_first

    def moved_by(self, energy: Energy) -> Energy:
        if "t" not in energy.context:
            raise ValueError("sampling: levels needs an energy of time (energy.timed=true)")
        return energy if energy.noised is None else energy.noised.densities(energy)

    def _begin(self, n: int, generators: Sequence[Generator], conditional: bool) -> Points:
        return first_points(self.noise, self.dataset, n, generators, conditional)

    def _move(
        self,
        target: Target,
        x: Batch,
        generators: Sequence[Generator],
        watch: Watch | None,
        context: dict[str, Tensor | None],
    ) -> Batch:
        done, levels = 0, self.noise.levels(self._count, self.t_first)
        adapted = torch.ones(len(x), device=x.device)
        for i, t in enumerate(levels):
            n_steps = (self.n_steps if i + 1 == len(levels) else done + self.n_steps // len(levels)) - done
            longer = adapted * (self.noise.width(t) / self.noise.width(levels[-1]))
            how = Run(
                temperature=1.0,
                n_steps=n_steps,
                watch=_later(watch, done),
                n_adapt=n_steps // 2 if self.n_adapt is None else self.n_adapt,
                scale=longer.square() if self.sampler.squared else longer,
            )
            times = torch.full((len(x),), t, device=x.device)
            chain = self.engine.run(self.sampler, target, x, generators, how, t=times, **context)
            longer_yet = self.sampler.adapted(chain.state)
            if longer_yet is not None:  # the next level goes on with what this one found
                adapted = adapted * longer_yet
            x, done = chain.x, done + n_steps
        return x

    @property
    def _count(self) -> int:
        return min(self.n_levels, self.n_steps)

    def kernel(self) -> str:
        temperature = 1.0 if self.sampler.temperature is None else self.sampler.temperature
        return f"{type(self.sampler).__name__}, {describe_temperature(self.sampler, temperature)}"

    def describe(self) -> str:
        return f"{self.n_steps:,} steps through {self._count} levels from normal noise"


def _later(watch: Watch | None, done: int) -> Watch | None:
    def shift(step: int, energy: EnergyFn, state: State, info: Info) -> None:
        assert watch is not None
        watch(done + step, energy, state, info)

    return None if watch is None else shift
