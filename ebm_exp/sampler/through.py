"""Chains whose last steps carry a graph: what a loss on their ends needs to reach the energy's parameters.

x_K(θ) = step_θ(… step_θ(x_{K−m}, ω_{K−m+1}) …, ω_K): the noise and x_{K−m} are numbers, θ acts in the last m steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ebm_exp.energy.base import at_rest, frozen
from ebm_exp.sampler.base import Chain, Info, Noise, Sampler, State, draw_noise, run_chain
from ebm_exp.types import Batch, EnergyFn


class Through(NamedTuple):
    """Where such chains end."""

    chain: Chain  # all chains; its state and info are those of the first n_chains, and carry their graph
    x: Tensor  # [n_chains, *event], with a graph


def run_through(
    sampler: Sampler,
    bind: Callable[[slice], EnergyFn],
    x: Batch,
    generator: torch.Generator,
    n_chains: int,
    n_live: int,
) -> Through:
    """Run chains of the sampler's own length from x ``[batch, *event]``; the last ``n_live`` steps carry a graph.

    The chains and their noise are those of ``run_chain``; what the first ``n_chains`` cost more is memory,
    that of one forward and one backward pass per live step.

    Args:
        sampler: the kernel.
        bind: the energy for some of the rows, context bound.
        x: starting points; not modified.
        generator: source of the noise.
        n_chains: of how many chains, the first ones, the end carries a graph.
        n_live: through how many steps it goes.
    """
    batch = len(x)
    start = run_chain(sampler, bind(slice(batch)), x, generator, sampler.n_steps - n_live)
    noises = [draw_noise(sampler, generator, x) for _ in range(n_live)]
    head, tail = slice(n_chains), slice(n_chains, batch)
    live = bind(head)
    with torch.enable_grad(), at_rest(live):
        state = _rows(start.state, head, batch)
        state = sampler.moved(live, state, state.x)  # what it keeps of the energy, now with a graph
        state, info = _steps(sampler, live, state, [_rows(noise, head, batch) for noise in noises])
    ends = [state.x.detach()]
    if n_chains < batch:
        with torch.no_grad(), frozen(live):
            rest = _rows(start.state, tail, batch)
            rest, _ = _steps(sampler, bind(tail), rest, [_rows(noise, tail, batch) for noise in noises])
        ends.append(rest.x)
    return Through(Chain(torch.cat(ends), state, info), state.x)


def _steps(sampler: Sampler, energy: EnergyFn, state: State, noises: list[Noise]) -> tuple[State, Info | None]:
    info = None
    for noise in noises:
        state, info = sampler.step(energy, state, noise)
    return state, info


def _rows(tree: Any, rows: slice, batch: int) -> Any:
    """The chains of some rows: each leaf is a scalar, or has as many rows for each chain, side by side."""

    def cut(leaf: Any) -> Any:
        each = len(leaf) // batch if isinstance(leaf, Tensor) and leaf.dim() else 0
        return leaf[slice((rows.start or 0) * each, rows.stop * each)] if each else leaf

    return pytree.tree_map(cut, tree)
