"""Sampling along a flow: dx/dt = −∇V(x, t) of a noise process, from its noise to data."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.energy.guided import Guided
from ebm_exp.engine.base import Engine
from ebm_exp.engine.target import Target
from ebm_exp.noise.base import NoiseProcess
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling.fresh import Fresh, first_points, normal_chunks
from ebm_exp.types import Batch, NonNegative, Points, Positive, PositiveInt, Provided


class State(NamedTuple):
    """Points on their way."""

    x: Batch


class Info(NamedTuple):
    """What is to say of one step."""

    velocity: Batch

    def metrics(self) -> dict[str, Tensor]:
        """Root mean square of the velocity (and what a stochastic method adds to it)."""
        return {"flow/velocity": self.velocity.square().mean().sqrt()}


class Flow(Fresh):
    """Integrates the velocity u = −∇V along the course of a noise process; the ends are clamped to the domain.

    V is E of ``noise=flow``, in equal steps of time, and −σẼ of ``noise=edm``, in steps that crowd at the data.

    ``stochastic_heun`` adds noise that the score takes out again, so that errors of earlier steps fade:
    dx = u dt + η w s |dt| + √(2 η w |dt|) z with score s and width w of the noise (Song et al. 2021, arXiv 2011.13456,
    Eq. 13 with another diffusion; for interpolants Albergo et al. 2023, arXiv 2303.08797, Eq. 2.31).

    Args:
        engine: differentiates the energy.
        dataset: gives shape, domain and labels.
        noise: the noise process.
        n_steps: of the course.
        method: ``euler``: one gradient a step; ``heun``: two, of second order; ``stochastic_heun``.
        t_end: where it stops; beyond 1 for an energy without time only.
        diffusion: η.
        guidance: how much a label acts, 1: as it does; for an energy fitted with and without labels.

    Raises:
        ValueError: when the process does not go to ``t_end``.
    """

    def __init__(
        self,
        engine: Provided[Engine],
        dataset: Provided[Dataset],
        noise: Provided[NoiseProcess],
        n_steps: PositiveInt = 30,
        method: Literal["euler", "heun", "stochastic_heun"] = "heun",
        t_end: Positive = 1.0,
        diffusion: Positive = 1.0,
        guidance: NonNegative = 1.0,
    ) -> None:
        if t_end != 1:
            noise.course(1, t_end)  # which refuses what it has none for
        self.engine = engine
        self.dataset = dataset
        self.noise = noise
        self.n_steps = n_steps
        self.method = method
        self.t_end = t_end
        self.diffusion, self.guidance = diffusion, guidance

    def moved_by(self, energy: Energy) -> Energy:
        if "t" in energy.context:
            if self.t_end > 1:
                raise ValueError(f"t_end: must be at most 1 for an energy of time, got {self.t_end}")
        elif self.method == "stochastic_heun":
            raise ValueError("method: stochastic_heun needs an energy of time; of one without, sampling=chains")
        return self.noise.carrier(energy if self.guidance == 1 else Guided(energy, self.guidance))

    def _begin(self, n: int, generators: Sequence[Generator], conditional: bool) -> Points:
        return first_points(self.noise, self.dataset, n, generators, conditional)

    @torch.no_grad()
    def _move(
        self,
        target: Target,
        x: Batch,
        generators: Sequence[Generator],
        watch: Watch | None,
        context: dict[str, Tensor | None],
    ) -> Batch:
        (times, lengths), domain = self.noise.course(self.n_steps, self.t_end), self.dataset.domain
        noisy = self.method == "stochastic_heun"

        def at(step: int) -> dict[str, Tensor | None]:
            return {"t": torch.full((len(x),), times[step], device=x.device), **context}

        def slope(given: tuple[Batch, dict[str, Tensor | None]]) -> Batch:
            return self.engine.gradient(target.bind(**given[1]), given[0])

        def drift(x: Batch, step: int) -> Batch:
            with self.engine.autocast():
                velocity = -self.engine.compute("a velocity", target, slope, (x, at(step)))
            if not noisy:
                return velocity
            score = self.noise.scaled_score(x, velocity, times[step])
            return velocity + math.copysign(self.diffusion, lengths[0]) * score

        for step, dt in enumerate(lengths):
            v, kick = drift(x, step), 0.0
            if noisy:
                width = self.noise.width(times[step] + dt / 2)
                kick = (2 * self.diffusion * width * abs(dt)) ** 0.5 * normal_chunks(x, generators)
            if self.method != "euler":
                v = (v + drift(x + dt * v + kick, step + 1)) / 2
            x = x + dt * v + kick
            if watch is not None:
                watch(step + 1, target.bind(**at(step + 1)), State(x), Info(v))
        return x.clamp(domain.low, domain.high)

    def describe(self) -> str:
        until = "" if self.t_end == 1 else f" to t = {self.t_end:g}"
        guided = "" if self.guidance == 1 else f", guidance {self.guidance:g}"
        return f"{self.n_steps:,} {self.method.replace('_', ' ')} steps of the flow from normal noise{until}{guided}"
