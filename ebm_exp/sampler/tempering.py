"""Replica exchange around any kernel: copies of each chain at rising temperatures trade places.

T_r = T · ratio^r, r = 0 … R − 1. After ``n_local`` steps of all replicas, neighbours (first the pairs 01, 23, …, then
12, 34, …) swap their points with probability

    min(1, exp((1/T_r − 1/T_{r+1}) (E(x_r) − E(x_{r+1}))))                      (Swendsen & Wang 1986; Geyer 1991)

for each chain and pair by itself. The cold replica's points are the samples.
"""

from typing import Annotated, NamedTuple, Self

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.utils import _pytree as pytree

from ebm_exp.energy.base import tile
from ebm_exp.metrics import SWAPPED
from ebm_exp.sampler.base import Control, Info, Noise, Sampler, State
from ebm_exp.types import Batch, EnergyFn, PositiveInt


class TemperingState(NamedTuple):
    """All replicas; the cold one's points apart."""

    x: Tensor  # [batch, *event]
    local: State  # of batch·R points, those of a chain side by side, coldest first


class TemperingNoise(NamedTuple):
    """The randomness of one step."""

    local: tuple[Noise, ...]  # n_local steps, each [batch, R, …]
    swap: Tensor  # [batch, R − 1], uniform


class TemperingInfo(NamedTuple):
    """What was swapped, and the last local step of all replicas."""

    swapped: Tensor  # [batch, R − 1]
    local: Info

    def metrics(self) -> dict[str, Tensor]:
        """The share of swaps between neighbours, and the kernel's own, over all replicas."""
        rates = self.swapped.float().mean(0).unbind()
        return {SWAPPED(r): rate for r, rate in enumerate(rates)} | self.local.metrics()


class Tempering(Sampler):
    """Replica exchange.

    Args:
        kernel: what moves each replica.
        n_steps: blocks of local steps and swaps per chain in training.
        n_replicas: R.
        ratio: T_{r+1}/T_r.
        n_local: steps of the kernel between swaps.
    """

    def __init__(
        self,
        kernel: Sampler,
        n_steps: PositiveInt,
        n_replicas: Annotated[int, Ge(2)] = 5,
        ratio: Annotated[float, Gt(1)] = 2.0,
        n_local: PositiveInt = 5,
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.n_steps = n_steps
        self.n_replicas = n_replicas
        self.ratio, self.n_local = ratio, n_local
        self.temperature, self.clamped = kernel.temperature, kernel.clamped
        self.adjusted = kernel.adjusted
        self.binary = kernel.binary
        self.squared = kernel.squared

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> TemperingState:
        r = self.n_replicas
        local = self.kernel.init(tile(energy, r), x.repeat_interleave(r, 0), n_adapt * self.n_local)
        return TemperingState(local.x[::r], local)

    def relocate(self, energy: EnergyFn, state: TemperingState, x: Batch) -> TemperingState:
        r = self.n_replicas
        points = torch.cat([x.unsqueeze(1), state.local.x.unflatten(0, (-1, r))[:, 1:]], 1).flatten(0, 1)
        return state._replace(x=x, local=self.kernel.relocate(tile(energy, r), state.local, points))

    def unbounded(self) -> Self:
        free = super().unbounded()
        free.kernel = self.kernel.unbounded()
        free.clamped = free.kernel.clamped
        return free

    def draw(self, generator: torch.Generator, x: Batch) -> TemperingNoise:
        r = self.n_replicas
        rows = x[:1].expand(len(x) * r, *x.shape[1:])
        local = tuple(
            pytree.tree_map(lambda leaf: leaf.unflatten(0, (-1, r)), self.kernel.draw(generator, rows))
            for _ in range(self.n_local)
        )
        return TemperingNoise(local, torch.rand(len(x), r - 1, generator=generator, device=x.device))

    def step(
        self, energy: EnergyFn, state: TemperingState, noise: TemperingNoise, control: Control
    ) -> tuple[TemperingState, TemperingInfo]:
        r, replicas = self.n_replicas, tile(energy, self.n_replicas)
        rung = torch.arange(r, device=state.x.device)
        temperatures = control.temperature.view(-1, 1) * self.ratio**rung  # [1 or batch, R]
        rows = temperatures.expand(len(state.x), r).flatten()
        scale = control.scale.repeat_interleave(r, 0) if control.scale.dim() else control.scale
        local, each_control = state.local, Control(rows, scale)
        for each in noise.local:
            flat = pytree.tree_map(lambda leaf: leaf.flatten(0, 1), each)
            local, info = self.kernel.step(replicas, local, flat, each_control)
        e = replicas(local.x).view(-1, r)
        order = rung.expand(len(state.x), r)  # [batch, R], whose points each replica holds
        swapped = torch.zeros_like(noise.swap, dtype=torch.bool)
        for first in (0, 1):
            cold, hot = order[:, first : r - 1 : 2], order[:, first + 1 :: 2]
            beta = 1 / temperatures
            gap = (beta[:, first : r - 1 : 2] - beta[:, first + 1 :: 2]) * (e.gather(1, cold) - e.gather(1, hot))
            swap = noise.swap[:, first::2].log() < gap
            order, swapped = order.clone(), swapped.clone()
            order[:, first : r - 1 : 2] = torch.where(swap, hot, cold)
            order[:, first + 1 :: 2] = torch.where(swap, cold, hot)
            swapped[:, first::2] = swap
        chain = torch.arange(len(state.x), device=state.x.device).unsqueeze(1)
        local = self.kernel.relocate(replicas, local, local.x[(chain * r + order).flatten()])
        return state._replace(x=local.x[::r], local=local), TemperingInfo(swapped, info)

    def learn(self, info: TemperingInfo) -> None:
        self.kernel.learn(info.local)
