"""PyTorch as it is: one kernel launch after another."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ebm_exp.energy.base import energy_gradient, rest
from ebm_exp.engine.base import Engine
from ebm_exp.engine.target import Target
from ebm_exp.precision import autocast
from ebm_exp.sampler.base import Control, Sampler
from ebm_exp.sampler.chain import Chain, Generators, Watch, draw_noise, run_chain, run_through, start_control
from ebm_exp.types import Batch, EnergyFn


class Eager(Engine):
    """Runs everything eagerly (see ``Engine``)."""

    def run(
        self,
        sampler: Sampler,
        target: Target,
        x: Batch,
        generators: Generators,
        *,
        temperature: float,
        n_steps: int | None = None,
        watch: Watch | None = None,
        n_adapt: int = 0,
        scale: float | Tensor = 1.0,
        through: int = 0,
        through_chains: int | None = None,
        **context: Tensor | None,
    ) -> Chain:
        n = len(x)
        control = start_control(sampler, temperature, x.device, scale)
        length = sampler.n_steps if n_steps is None else n_steps

        def bind(rows: slice) -> dict[str, Tensor | None]:
            return {name: None if each is None else each[rows] for name, each in context.items()}

        with autocast(self.device, self.precision == "bf16" and sampler.gradient_only):
            chain = self._chain(sampler, target, x, generators, control, length - through, watch, n_adapt, context)
            if not through:
                return chain
            noises = [draw_noise(sampler, generators, x) for _ in range(through)]
            n_through = n if through_chains is None else min(through_chains, n)
            with rest(target.live):
                live = target.live.bind(**bind(slice(n_through)))
                return run_through(
                    sampler, lambda rows: target.bind(**bind(rows)), live, chain, noises, control, n_through
                )

    def _chain(
        self,
        sampler: Sampler,
        target: Target,
        x: Batch,
        generators: Generators,
        control: Control,
        n_steps: int,
        watch: Watch | None,
        n_adapt: int,
        context: dict[str, Tensor | None],
    ) -> Chain:
        """Chains without a graph, see ``run_chain``; the context is bound to the target."""
        return run_chain(sampler, target.bind(**context), x, generators, control, n_steps, watch, n_adapt)

    def repeat(
        self,
        work: Callable[[Any, torch.Generator], Any],
        given: Any,
        generator: torch.Generator,
        changes: Iterable[Tensor] = (),
    ) -> Any:
        return work(given, generator)

    def gradient(self, energy: EnergyFn, x: Batch, create_graph: bool = False) -> Batch:
        with torch.set_grad_enabled(create_graph):
            _, gradient = energy_gradient(energy, x.detach().requires_grad_() if create_graph else x)
        return gradient
