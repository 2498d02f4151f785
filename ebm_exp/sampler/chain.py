"""The chain that repeats a kernel, and the one whose last steps carry a graph.

x_K(θ) = step_θ(… step_θ(x_{K−m}, ω_{K−m+1}) …, ω_K): the noise and x_{K−m} are numbers, θ acts in the last m steps.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ebm_exp.random import CHUNK
from ebm_exp.sampler.base import Control, Info, Noise, Sampler, State
from ebm_exp.types import Batch, EnergyFn

Generators = torch.Generator | Sequence[torch.Generator]
Watch = Callable[[int, EnergyFn, State, Info], None]  # (step from 1, the chains' energy, state, info)


class Chain(NamedTuple):
    """The end of a chain: its points ``[batch, *event]``, the last state and the last step's info."""

    x: Tensor
    state: State
    info: Info | None
    end: Tensor | None = None  # [n_through, *event], the first rows of x with a graph to the energy's parameters


def start_control(sampler: Sampler, temperature: float, device: torch.device, scale: float | Tensor = 1.0) -> Control:
    """T of the sampler's own settings, or the given one where it has none; a factor on the step size."""
    t = temperature if sampler.temperature is None else sampler.temperature
    scales = scale if isinstance(scale, Tensor) else torch.full((), scale, device=device)  # no copy from the host
    return Control(torch.full((), t, device=device), scales)


def draw_noise(sampler: Sampler, generator: Generators, x: Batch) -> Noise:
    """One step's noise from one generator, or from one per chunk of 64 chains (the last chunk cut to the batch)."""
    if isinstance(generator, torch.Generator):
        return sampler.draw(generator, x)
    chunk = x[:1].expand(CHUNK, *x.shape[1:])
    chunks = [sampler.draw(g, chunk) for g in generator]
    return pytree.tree_map(lambda *parts: torch.cat(parts)[: len(x)], *chunks)


@torch.no_grad()
def run_chain(
    sampler: Sampler,
    energy: EnergyFn,
    x: Batch,
    generator: Generators,
    control: Control,
    n_steps: int | None = None,
    watch: Watch | None = None,
    n_adapt: int = 0,
) -> Chain:
    """Repeat the kernel from x ``[batch, *event]`` and return where the chains end.

    Args:
        sampler: the kernel.
        energy: the target, context bound, in evaluation mode and without gradients to parameters.
        x: starting points; not modified.
        generator: source of the noise: one, or one per chunk of 64 chains.
        control: temperature and scale of the step size.
        n_steps: length, default the sampler's own.
        watch: called with (step from 1, energy, state, info) after every step.
        n_adapt: steps at the start in which a kernel that can adapts its step size, each chain for itself.
    """
    state, info, control = sampler.init(energy, x, n_adapt), None, sampler.prepare(control)
    for i in range(sampler.n_steps if n_steps is None else n_steps):
        state, info = sampler.step(energy, state, draw_noise(sampler, generator, x), control)
        if watch is not None:
            watch(i + 1, energy, state, info)
    return Chain(state.x, state, info)


def run_through(
    sampler: Sampler,
    frozen: Callable[[slice], EnergyFn],
    live: EnergyFn,
    start: Chain,
    noises: list[Noise],
    control: Control,
    n_chains: int,
) -> Chain:
    """Take the last steps of chains, those of the first ``n_chains`` with a graph to the energy's parameters.

    Args:
        sampler: the kernel.
        frozen: the energy for some of the rows, context bound, without gradients.
        live: the energy for the first ``n_chains`` rows, in evaluation mode, with gradients.
        start: where the first steps of all chains ended.
        noises: one step's noise for all chains, for each step that is left.
        control: as in ``run_chain``.
        n_chains: of how many chains, the first ones, the end carries a graph. What each costs is the memory of one
            forward and one backward pass per step.
    """
    batch = len(start.x)
    head, tail = slice(n_chains), slice(n_chains, batch)
    with torch.enable_grad():
        state = _rows(start.state, head, batch)
        state = sampler.relocate(live, state, state.x)  # what it keeps of the energy, now with a graph
        state, info = _steps(sampler, live, state, [_rows(noise, head, batch) for noise in noises], control)
    ends = [state.x.detach()]
    if n_chains < batch:
        with torch.no_grad():
            rest = _rows(start.state, tail, batch)
            cut = [_rows(noise, tail, batch) for noise in noises]
            rest, _ = _steps(sampler, frozen(tail), rest, cut, control)
        ends.append(rest.x)
    return Chain(torch.cat(ends), state, info, state.x)


def _steps(
    sampler: Sampler, energy: EnergyFn, state: State, noises: list[Noise], control: Control
) -> tuple[State, Info | None]:
    info = None
    for noise in noises:
        state, info = sampler.step(energy, state, noise, control)
    return state, info


def _rows(tree: Any, rows: slice, batch: int) -> Any:
    """The chains of some rows: each leaf is a scalar, or has as many rows for each chain, side by side."""

    def cut(leaf: Any) -> Any:
        each = len(leaf) // batch if isinstance(leaf, Tensor) and leaf.dim() else 0
        return leaf[slice((rows.start or 0) * each, rows.stop * each)] if each else leaf

    return pytree.tree_map(cut, tree)
