"""Sampling along a flow: dx/dt = −∇E(x, t), from normal noise to data."""

from math import prod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.engine.base import Engine
from ebm_exp.engine.target import Target
from ebm_exp.random import CHUNK, Stream
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling.base import Sampling
from ebm_exp.sampling.chains import AT_ONCE
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


class Flow(Sampling):
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

    @torch.no_grad()
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
        if self.t_end > 1 and "t" in energy.context:
            raise ValueError(f"t_end: must be at most 1 for an energy of time, got {self.t_end}")
        device, shape, domain = self.dataset.device, self.dataset.event_shape, self.dataset.domain
        generators = stream.for_chains(device, 0, n)
        x = torch.cat([torch.randn(CHUNK, *shape, generator=g, device=device) for g in generators])[:n]
        if energy.conditional and y is None:
            y = torch.cat([self.dataset.random_labels(CHUNK, g) for g in generators])[:n]
        x = x if start is None else start
        target, size = self.engine.target(energy), max(1, AT_ONCE[device.type] // prod(shape))
        everything: dict[str, Any] = dict(context) | {"y": y}
        ends = []
        for first in range(0, n, size):
            rows = slice(first, first + size)
            bound = {name: None if each is None else each[rows] for name, each in everything.items()}
            ends.append(self._integrate(target, x[rows], None if first else watch, bound))
        return Points(torch.cat(ends).clamp(domain.low, domain.high), y)

    def _integrate(self, target: Target, x: Batch, watch: Watch | None, context: dict[str, Tensor | None]) -> Batch:
        dt = self.t_end / self.n_steps

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
        return x

    def kernel(self) -> str:
        return f"flow, {self.method}"

    def describe(self) -> str:
        return f"{self.n_steps:,} {self.method} steps of the flow from normal noise"
