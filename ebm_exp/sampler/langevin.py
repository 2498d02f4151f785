"""Unadjusted Langevin dynamics.

x ← x − (λ/2) ∇E(x) + ω,  ω ~ N(0, noise_std²)                                  (Welling & Teh, ICML 2011, Eq. 4)

With noise_std = √λ the chain approximates p(x) ∝ exp(−E(x)) with a bias of order λ: on N(0, σ²) it samples exactly
N(0, σ²/(1 − λ/(4σ²))). With other noise it is the chain of step noise_std² at T = noise_std²/λ. A decaying step,

λ_t = a (b + t)^−γ = λ (1 + t/b)^−γ, λ = a b^−γ, T unchanged,                     (Welling & Teh, section 3)

loses the bias on its way.
"""

from typing import Annotated, NamedTuple, Self

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy.base import energy_gradient
from ebm_exp.metrics import CHAIN_GRAD_NORM, CLAMPED, DISPLACEMENT
from ebm_exp.random import normal_like
from ebm_exp.sampler.base import Control, Sampler, per_chain
from ebm_exp.types import Batch, EnergyFn, From, NonNegative, Positive, PositiveInt, Probability


class LangevinState(NamedTuple):
    """Where the chains are."""

    x: Tensor  # [batch, *event]
    t: Tensor  # [], steps taken, where the step decays


class LangevinInfo(NamedTuple):
    """The tensors of one step, each ``[batch, *event]``."""

    before: Tensor
    free: Tensor  # after the step, before the range clamp
    after: Tensor
    gradient: Tensor  # before its clamp
    used: Tensor  # after it

    def metrics(self) -> dict[str, Tensor]:
        """Means over chains."""
        acted = (self.free > self.after) | (self.free < self.after)  # a NaN is no clamp
        if self.used is not self.gradient:
            acted = acted | (self.gradient > self.used) | (self.gradient < self.used)
        return {
            CHAIN_GRAD_NORM: self.gradient.flatten(1).norm(dim=1).mean(),
            DISPLACEMENT: (self.after - self.before).flatten(1).norm(dim=1).mean(),
            CLAMPED: acted.float().mean(),
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
        decay_exponent: γ; 0: the step stays.
        decay_offset: b, in steps.

    Attributes:
        temperature: T = noise_std²/λ.
    """

    gradient_only = True
    squared = True

    def __init__(
        self,
        step_size: Positive,
        n_steps: PositiveInt,
        domain: Annotated[Domain, From("dataset.domain")],
        noise_std: NonNegative | None = None,
        noise_first: bool = False,
        gradient_clamp: Positive | None = None,
        clamp: bool = False,
        decay_exponent: Probability = 0.0,
        decay_offset: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.step_size = step_size
        self.n_steps = n_steps
        self.domain = domain
        self.noise_first = noise_first
        self.gradient_clamp = gradient_clamp
        self.clamp = clamp
        self.decay_exponent, self.decay_offset = decay_exponent, decay_offset
        self.temperature = 1.0 if noise_std is None else noise_std**2 / step_size
        self.clamped = gradient_clamp is not None or clamp

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> LangevinState:
        return LangevinState(x, torch.zeros((), device=x.device))

    def unbounded(self) -> Self:
        free = super().unbounded()
        free.clamp, free.clamped = False, self.gradient_clamp is not None
        return free

    def draw(self, generator: torch.Generator, x: Batch) -> Tensor:
        return normal_like(x, generator)

    def prepare(self, control: Control) -> Control:
        if self.decay_exponent:
            return control
        size = self.step_size * control.scale
        return control._replace(prepared=(size, (size * control.temperature).sqrt()))

    def step(
        self, energy: EnergyFn, state: LangevinState, noise: Tensor, control: Control
    ) -> tuple[LangevinState, LangevinInfo]:
        t = state.t
        if control.prepared is None:
            size = self.step_size * control.scale
            if self.decay_exponent:
                size, t = size * (1 + t / self.decay_offset) ** -self.decay_exponent, t + 1
            width = (size * control.temperature).sqrt()
        else:
            size, width = control.prepared
        omega = noise * per_chain(width, noise)
        x = state.x + omega if self.noise_first else state.x
        _, gradient = energy_gradient(energy, x)
        g = gradient if self.gradient_clamp is None else gradient.clamp(-self.gradient_clamp, self.gradient_clamp)
        free = torch.addcmul(x, g, per_chain(size, g), value=-0.5)
        if not self.noise_first:
            free = free + omega
        after = free.clamp(self.domain.low, self.domain.high) if self.clamp else free
        info = LangevinInfo(state.x, free, after, gradient, g)
        return LangevinState(after, t), info
