"""Sampling along a flow: dx/dt = −∇E(x, t), from normal noise to data."""

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
from ebm_exp.sampling.fresh import Fresh, normal_chunks, normal_start
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
    """Integrates the velocity u = −∇E in equal steps; the ends are clamped to the domain.

    ``stochastic_heun`` adds noise that the score takes out again, so that errors of earlier steps fade:
    dx = (u + η w s) dt + √(2 η w) dW with score s and width w of the noise (Song et al. 2021, arXiv 2011.13456, Eq. 13
    with another diffusion; for interpolants Albergo et al. 2023, arXiv 2303.08797, Eq. 2.31).

    Args:
        engine: differentiates the energy.
        dataset: gives shape, domain and labels.
        noise: the noise process.
        n_steps: from noise to ``t_end``.
        method: ``euler``: one gradient a step; ``heun``: two, of second order; ``stochastic_heun``.
        t_end: where it stops; beyond 1 for an energy without time only.
        diffusion: η.
        guidance: how much a label acts, 1: as it does; for an energy fitted with and without labels.
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
        return energy if self.guidance == 1 else Guided(energy, self.guidance)

    def _begin(self, n: int, generators: Sequence[Generator], conditional: bool) -> Points:
        return normal_start(self.dataset, n, generators, conditional)

    @torch.no_grad()
    def _move(
        self,
        target: Target,
        x: Batch,
        generators: Sequence[Generator],
        watch: Watch | None,
        context: dict[str, Tensor | None],
    ) -> Batch:
        dt, domain = self.t_end / self.n_steps, self.dataset.domain
        noisy = self.method == "stochastic_heun"

        def at(step: int) -> dict[str, Tensor | None]:
            return {"t": torch.full((len(x),), min(step * dt, self.t_end), device=x.device), **context}

        def slope(given: tuple[Batch, dict[str, Tensor | None]]) -> Batch:
            return self.engine.gradient(target.bind(**given[1]), given[0])

        def drift(x: Batch, step: int) -> Batch:
            with self.engine.autocast():
                velocity = -self.engine.compute("a velocity", target, slope, (x, at(step)))
            score = self.noise.scaled_score(x, velocity, step * dt) if noisy else None
            return velocity if score is None else velocity + self.diffusion * score

        for step in range(self.n_steps):
            v, kick = drift(x, step), 0.0
            if noisy:
                width = self.noise.width((step + 0.5) * dt)
                kick = (2 * self.diffusion * width * dt) ** 0.5 * normal_chunks(x, generators)
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
