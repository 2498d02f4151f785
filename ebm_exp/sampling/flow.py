"""Sampling along a flow: dx/dt = −∇E(x, t), from normal noise to data."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.engine.target import Target
from ebm_exp.random import CHUNK
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling.fresh import Fresh
from ebm_exp.types import Batch, EnergyFn, Points, Positive, PositiveInt, Provided


class State(NamedTuple):
    """Points on their way."""

    x: Batch


class Info(NamedTuple):
    """What is to say of one step."""

    velocity: Batch

    def metrics(self) -> dict[str, Tensor]:
        """Root mean square of −∇E."""
        return {"flow/velocity": self.velocity.square().mean().sqrt()}


class Flow(Fresh):
    """Integrates the velocity −∇E in equal steps; the ends are clamped to the domain.

    Args:
        engine: differentiates the energy.
        dataset: gives shape, domain and labels.
        n_steps: from noise to ``t_end``.
        method: ``euler``: one gradient a step; ``heun``: two, of second order.
        t_end: where it stops; beyond 1 for an energy without time only.
    """

    def __init__(
        self,
        engine: Provided[Engine],
        dataset: Provided[Dataset],
        n_steps: PositiveInt = 30,
        method: Literal["euler", "heun"] = "heun",
        t_end: Positive = 1.0,
    ) -> None:
        self.engine, self.dataset = engine, dataset
        self.n_steps, self.method, self.t_end = n_steps, method, t_end

    def _sampled(self, energy: Energy) -> Energy:
        if self.t_end > 1 and "t" in energy.context:
            raise ValueError(f"t_end: must be at most 1 for an energy of time, got {self.t_end}")
        return energy

    def _begin(self, n: int, generators: Sequence[Generator], conditional: bool) -> Points:
        shape, device = self.dataset.event_shape, self.dataset.device
        x = torch.cat([torch.randn(CHUNK, *shape, generator=g, device=device) for g in generators])[:n]
        if not conditional:
            return Points(x)
        return Points(x, torch.cat([self.dataset.random_labels(CHUNK, g) for g in generators])[:n])

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

        def energy(step: int) -> EnergyFn:
            t = torch.full((len(x),), min(step * dt, self.t_end), device=x.device)
            return target.bind(t=t, **context)

        def velocity(x: Batch, step: int) -> Batch:
            with self.engine.autocast():
                return -self.engine.gradient(energy(step), x)

        for step in range(self.n_steps):
            v = velocity(x, step)
            if self.method == "heun":
                v = (v + velocity(x + dt * v, step + 1)) / 2
            x = x + dt * v
            if watch is not None:
                watch(step + 1, energy(step + 1), State(x), Info(v))
        return x.clamp(domain.low, domain.high)

    def describe(self) -> str:
        until = "" if self.t_end == 1 else f" to t = {self.t_end:g}"
        return f"{self.n_steps:,} {self.method} steps of the flow from normal noise{until}"
