"""Unadjusted Langevin dynamics.

x ← x − (λ/2) ∇E(x) + ω,  ω ~ N(0, noise_std²)            (Welling & Teh, ICML 2011, with a fixed step)

With noise_std = √λ the chain approximates p(x) ∝ exp(−E(x)) with a bias of order λ: on N(0, σ²) its law is exactly
N(0, σ²/(1 − λ/(4σ²))). With other noise it is the chain of step noise_std² at T = noise_std²/λ.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy.base import energy_gradient
from ebm_exp.sampler.base import Info, Sampler
from ebm_exp.types import Batch, EnergyFn, NonNegative, Positive, PositiveInt


class LangevinState(NamedTuple):
    """Where the chains are."""

    x: Tensor  # [batch, *event]


@dataclass(frozen=True)
class LangevinInfo(Info):
    """The tensors of one step, each ``[batch, *event]``."""

    before: Tensor
    free: Tensor  # after the step, before the range clamp
    after: Tensor
    gradient: Tensor  # before its clamp
    gradient_clamp: float | None

    def metrics(self) -> dict[str, Tensor]:
        """``chain/grad_norm``, ``chain/displacement``: mean L2 over chains; ``chain/clamped``: share of components."""
        acted = (self.free > self.after) | (self.free < self.after)  # a NaN is no clamp
        if self.gradient_clamp is not None:
            acted = acted | (self.gradient.abs() > self.gradient_clamp)
        return {
            "chain/grad_norm": self.gradient.flatten(1).norm(dim=1).mean(),
            "chain/displacement": (self.after - self.before).flatten(1).norm(dim=1).mean(),
            "chain/clamped": acted.float().mean(),
        }


class Langevin(Sampler):
    """Langevin dynamics with the choices of the published recipes.

    Args:
        step_size: λ (the published gradient coefficient is λ/2).
        n_steps: chain length in training.
        domain: the box of the range clamp.
        noise_std: standard deviation of ω; null: √λ, the consistent noise.
        noise_first: add ω before the gradient is taken, as Du & Mordatch's code does.
        gradient_clamp: clamp each component of ∇E to ± this; null: no clamp.
        clamp: clamp x to the domain after each step.

    Attributes:
        temperature: T = noise_std²/λ.
        exact: False when a clamp may act; the temperature is then only a noise ratio.
    """

    def __init__(
        self,
        step_size: Positive,
        n_steps: PositiveInt,
        domain: Domain,
        noise_std: NonNegative | None = None,
        noise_first: bool = False,
        gradient_clamp: Positive | None = None,
        clamp: bool = False,
    ) -> None:
        self.step_size, self.n_steps, self.domain = step_size, n_steps, domain
        self.noise_std = math.sqrt(step_size) if noise_std is None else noise_std
        self.noise_first, self.gradient_clamp, self.clamp = noise_first, gradient_clamp, clamp
        self.temperature = 1.0 if noise_std is None else noise_std**2 / step_size
        self.exact = gradient_clamp is None and not clamp

    def init(self, energy: EnergyFn, x: Batch) -> LangevinState:
        return LangevinState(x)

    def draw(self, generator: torch.Generator, x: Batch) -> Tensor:
        return torch.empty(x.shape, dtype=x.dtype, device=x.device).normal_(0, self.noise_std, generator=generator)

    def step(self, energy: EnergyFn, state: LangevinState, noise: Tensor) -> tuple[LangevinState, LangevinInfo]:
        x = state.x + noise if self.noise_first else state.x
        _, gradient = energy_gradient(energy, x)
        g = gradient if self.gradient_clamp is None else gradient.clamp(-self.gradient_clamp, self.gradient_clamp)
        free = torch.add(x, g, alpha=-self.step_size / 2)
        if not self.noise_first:
            free = free + noise
        after = free.clamp(self.domain.low, self.domain.high) if self.clamp else free
        return LangevinState(after), LangevinInfo(state.x, free, after, gradient, self.gradient_clamp)
