"""Jumps between modes around any local kernel: independence Metropolis.

x′ ~ q,  accepted with probability min(1, p(x′) q(x) / (p(x) q(x′)))                       (Tierney 1994, section 2.3.3)

One step is ``n_jumps`` proposals, then ``n_local`` steps of the kernel. q is any start of known density: uniform on the
box, or a mixture of Gaussians fitted to the training data. Jumps are for few dimensions: the share that is accepted
falls exponentially with their number.
"""

import math
from typing import Annotated, NamedTuple, Self

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy.base import tile
from ebm_exp.metrics import JUMPED
from ebm_exp.sampler.base import Control, Info, Noise, Sampler, State
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, EnergyFn, From, PerSample, PositiveInt


class JumpState(NamedTuple):
    """The local kernel's state; its points are here too."""

    x: Tensor  # [batch, *event]
    local: State


class JumpNoise(NamedTuple):
    """The randomness of one step."""

    proposals: Tensor  # [batch, n_jumps, *event]
    accept: Tensor  # [batch, n_jumps], uniform
    local: tuple[Noise, ...]  # n_local steps


class JumpInfo(NamedTuple):
    """What the jumps did, and the last local step."""

    jumped: Tensor  # [batch, n_jumps]
    local: Info

    def metrics(self) -> dict[str, Tensor]:
        """The share of accepted jumps, and the local kernel's own."""
        return {JUMPED: self.jumped.float().mean()} | self.local.metrics()


class Jump(Sampler):
    """A local kernel with independence proposals between its steps.

    Args:
        kernel: the local kernel.
        n_steps: blocks of jumps and local steps per chain in training.
        proposal: q.
        domain: the box; no chain jumps out of it. Without walls a chain beyond it makes no jumps.
        n_jumps: proposals per block.
        n_local: local steps per block.

    Raises:
        ValueError: when the kernel moves points of two levels, or the density of the proposal is not known.
    """

    def __init__(
        self,
        kernel: Sampler,
        n_steps: PositiveInt,
        proposal: Start,
        domain: Annotated[Domain, From("dataset.domain")],
        n_jumps: PositiveInt = 2,
        n_local: PositiveInt = 10,
    ) -> None:
        super().__init__()
        if kernel.binary:
            raise ValueError(f"kernel: must be a continuous sampler, {type(kernel).__name__} is binary")
        if not proposal.has_density:
            raise ValueError(f"proposal: jumps need a start of known density (uniform, mixture), not {proposal.name}")
        self.kernel = kernel
        self.n_steps = n_steps
        self.proposal = proposal
        self.domain = domain
        self.log_beyond = math.inf  # log q outside the box, which no chain enters and every chain leaves
        self.n_jumps, self.n_local = n_jumps, n_local
        self.temperature = kernel.temperature
        self.clamped = kernel.clamped
        self.adjusted = kernel.adjusted
        self.squared = kernel.squared

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> JumpState:
        local = self.kernel.init(energy, x, n_adapt * self.n_local)
        return JumpState(x, local)

    def relocate(self, energy: EnergyFn, state: JumpState, x: Batch) -> JumpState:
        return state._replace(x=x, local=self.kernel.relocate(energy, state.local, x))

    def unbounded(self) -> Self:
        free = super().unbounded()
        free.kernel = self.kernel.unbounded()
        free.clamped = free.kernel.clamped
        free.log_beyond = -math.inf  # where q never is: nothing jumps there, or from there
        return free

    def draw(self, generator: torch.Generator, x: Batch) -> JumpNoise:
        n = len(x) * self.n_jumps
        proposals = self.proposal.draw(n, generator).x
        accept = torch.rand(len(x), self.n_jumps, generator=generator, device=x.device)
        local = tuple(self.kernel.draw(generator, x) for _ in range(self.n_local))
        return JumpNoise(proposals.view(len(x), self.n_jumps, *x.shape[1:]), accept, local)

    def step(
        self, energy: EnergyFn, state: JumpState, noise: JumpNoise, control: Control
    ) -> tuple[JumpState, JumpInfo]:
        points = torch.cat([state.x.unsqueeze(1), noise.proposals], 1)  # [batch, 1 + n_jumps, *event]
        k = points.shape[1]
        flat = points.flatten(0, 1)
        log_p = -tile(energy, k)(flat).view(-1, k) / control.temperature.view(-1, 1)
        log_w = log_p - self._log_proposal(flat).view(-1, k)  # of p/q, up to a constant
        at = torch.zeros_like(log_w[:, :1], dtype=torch.long)  # [batch, 1], which of the points a chain is at
        jumped = []
        for i in range(1, k):
            accepted = noise.accept[:, i - 1 : i].log() < log_w[:, i : i + 1] - log_w.gather(1, at)
            at = torch.where(accepted, i, at)
            jumped.append(accepted)
        x = points[torch.arange(len(points), device=points.device), at.squeeze(1)]
        local = self.kernel.relocate(energy, state.local, x)
        for each in noise.local:
            local, info = self.kernel.step(energy, local, each, control)
        return state._replace(x=local.x, local=local), JumpInfo(torch.cat(jumped, 1), info)

    def _log_proposal(self, x: Batch) -> PerSample:
        """log q ``[batch]``."""
        inside = ((x >= self.domain.low) & (x <= self.domain.high)).flatten(1).all(1)
        return torch.where(inside, self.proposal.log_prob(x), self.log_beyond)

    def learn(self, info: JumpInfo) -> None:
        self.kernel.learn(info.local)
