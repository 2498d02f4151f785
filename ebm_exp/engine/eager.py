"""PyTorch as it is: one kernel launch after another."""

from typing import Any

import torch
from torch import Tensor

from ebm_exp.energy.base import energy_gradient, rest
from ebm_exp.engine.base import Engine, L, Run, Work
from ebm_exp.engine.target import Target
from ebm_exp.precision import autocast
from ebm_exp.sampler.base import Control, Sampler
from ebm_exp.sampler.chain import Chain, Generators, draw_noise, run_chain, run_through, start_control
from ebm_exp.types import Batch, EnergyFn


class Eager(Engine):
    """Runs everything eagerly (see ``Engine``)."""

    def run(
        self,
        sampler: Sampler,
        target: Target,
        x: Batch,
        generators: Generators,
        how: Run,
        **context: Tensor | None,
    ) -> Chain:
        control = start_control(sampler, how.temperature, x.device, how.scale)
        length = sampler.n_steps if how.n_steps is None else how.n_steps

        def bind(rows: slice) -> dict[str, Tensor | None]:
            return {name: None if each is None else each[rows] for name, each in context.items()}

        with autocast(self.device, self.precision == "bf16" and sampler.gradient_only):
            first = how._replace(n_steps=length - how.through)
            chain = self._run_at_rest(sampler, target, x, generators, control, first, context)
            if not how.through:
                return chain
            noises = [draw_noise(sampler, generators, x) for _ in range(how.through)]
            n_through = len(x) if how.through_chains is None else min(how.through_chains, len(x))
            with rest(target.live):
                live = target.live.bind(**bind(slice(n_through)))
                return run_through(
                    sampler, lambda rows: target.bind(**bind(rows)), live, chain, noises, control, n_through
                )

    def _run_at_rest(
        self,
        sampler: Sampler,
        target: Target,
        x: Batch,
        generators: Generators,
        control: Control,
        how: Run,
        context: dict[str, Tensor | None],
    ) -> Chain:
        """Chains without a graph, see ``run_chain``; the context is bound to the target."""
        energy = target.bind(**context)
        return run_chain(sampler, energy, x, generators, control, how.n_steps, how.watch, how.n_adapt)

    def differentiate(
        self, work: Work[L], given: Any, generator: torch.Generator, n_parts: int = 1
    ) -> tuple[L, Tensor, list[Tensor | None]]:
        for p in work.params:
            p.grad = None
        with self.autocast():
            loss = work.loss(given, generator)
            total = loss.total()
        # Into ``grad``, which has the strides of its parameter, in channels-last too: autograd.grad has any.
        (total / n_parts).backward()
        return loss.detach(), total.detach(), [p.grad for p in work.params]

    def gradient(self, energy: EnergyFn, x: Batch, create_graph: bool = False) -> Batch:
        with torch.set_grad_enabled(create_graph):
            _, gradient = energy_gradient(energy, x.detach().requires_grad_() if create_graph else x)
        return gradient
