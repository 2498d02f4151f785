"""Underdamped Langevin dynamics, dx = p dt, dp = −∇E dt − γp dt + √(2γT) dW, by the splitting BAOAB.

B: p ← p − (h/2)∇E   A: x ← x + (h/2)p   O: p ← c p + √((1 − c²)T) z, c = e^(−γh)   A   B
                                                                        (Leimkuhler & Matthews 2013, section 2)

It has no acceptance, so its error is of order h²; on a Gaussian x is exact and, at unit stiffness, p has the
variance T(1 − h²/4). At a wall of the box a trajectory is reflected. What stands for an acceptance, and h adapts to, is
min(1, exp(−W/T)) with the energy error W = ΔH without the heat of O.
"""

import math
from typing import Annotated, NamedTuple, Self

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy.base import energy_gradient
from ebm_exp.metrics import CHAIN_GRAD_NORM, DISPLACEMENT, FIDELITY, STEP_SIZE
from ebm_exp.random import normal_like
from ebm_exp.sampler.adapt import StepSize, adapt, start
from ebm_exp.sampler.base import Control, Sampler, per_chain
from ebm_exp.types import Batch, EnergyFn, From, NonNegative, Positive, PositiveInt, Probability


class UnderdampedState(NamedTuple):
    """Where the chains are and how they move."""

    x: Tensor  # [batch, *event]
    p: Tensor  # [batch, *event]
    resting: Tensor  # true before the first step, which draws a momentum
    e: Tensor  # [batch]
    gradient: Tensor  # [batch, *event]
    size: StepSize


class UnderdampedNoise(NamedTuple):
    """The randomness of one step, standard normal."""

    start: Tensor  # [batch, *event], the momentum of chains that have none
    z: Tensor  # [batch, *event]


class UnderdampedInfo(NamedTuple):
    """The tensors of one step."""

    before: Tensor  # [batch, *event]
    after: Tensor  # [batch, *event]
    gradient: Tensor  # [batch, *event], before
    fidelity: Tensor  # [batch], exp(−W/T), at most 1
    step_size: Tensor  # [batch]

    def metrics(self) -> dict[str, Tensor]:
        """Means over chains."""
        return {
            FIDELITY: self.fidelity.mean(),
            STEP_SIZE: self.step_size.mean(),
            CHAIN_GRAD_NORM: self.gradient.flatten(1).norm(dim=1).mean(),
            DISPLACEMENT: (self.after - self.before).flatten(1).norm(dim=1).mean(),
        }


class Underdamped(Sampler):
    """BAOAB.

    Args:
        step_size: h of the first steps, which burn-in and training adapt; null: √λ, λ the data set's suggestion.
        n_steps: steps per chain in training.
        domain: the box of the reflections.
        temperature: T; null: the experiment's, in sample.py that of the run.
        friction: γ, per unit of time; a chain forgets its momentum in 1/γ.
        target_fidelity: what a step size adapts to; nothing corrects the error, so it is near 1.
        learn_rate: in training, change of log h per chain and unit of fidelity; 0: the step size stays.
        reflect: at the walls of the box; false: all of space.
        suggested: λ.
    """

    def __init__(
        self,
        step_size: Positive | None,
        n_steps: PositiveInt,
        domain: Annotated[Domain, From("dataset.domain")],
        temperature: Positive | None = None,
        friction: Positive = 1.0,
        target_fidelity: Probability = 0.95,
        learn_rate: NonNegative = 0.05,
        reflect: bool = True,
        suggested: Annotated[Positive, From("suggest.step_size")] = 1.0,
    ) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.domain = domain
        self.temperature = temperature
        self.friction = friction
        self.target_fidelity = target_fidelity
        self.learn_rate = learn_rate
        self.reflect = reflect
        self.log_step: Tensor
        self.register_buffer(
            "log_step", torch.tensor(math.log(math.sqrt(suggested) if step_size is None else step_size))
        )

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> UnderdampedState:
        e, gradient = energy_gradient(energy, x)
        size = start(self.log_step, len(x), n_adapt)
        resting = torch.ones_like(self.log_step, dtype=torch.bool)
        return UnderdampedState(x, torch.zeros_like(x), resting, e, gradient, size)

    def relocate(self, energy: EnergyFn, state: UnderdampedState, x: Batch) -> UnderdampedState:
        e, gradient = energy_gradient(energy, x)
        return state._replace(x=x, e=e, gradient=gradient)

    def unbounded(self) -> Self:
        free = super().unbounded()
        free.reflect = False
        return free

    def adapted(self, state: UnderdampedState) -> Tensor:
        return (state.size.log - self.log_step).exp()

    def draw(self, generator: torch.Generator, x: Batch) -> UnderdampedNoise:
        return UnderdampedNoise(normal_like(x, generator), normal_like(x, generator))

    def step(
        self, energy: EnergyFn, state: UnderdampedState, noise: UnderdampedNoise, control: Control
    ) -> tuple[UnderdampedState, UnderdampedInfo]:
        temperature = per_chain(control.temperature, state.x)
        size = state.size.log.exp() * control.scale
        h = per_chain(size, state.x)
        p0 = torch.where(state.resting, noise.start * temperature.sqrt(), state.p)
        p = p0 - h / 2 * state.gradient  # B
        x, p = self._move(state.x, p, h / 2)  # A
        before_o, c = p, (-self.friction * h).exp()
        p = c * p + ((1 - c.square()) * temperature).sqrt() * noise.z  # O
        after_o = p
        x, p = self._move(x, p, h / 2)  # A
        e, gradient = energy_gradient(energy, x)
        p = p - h / 2 * gradient  # B
        kinetic = (before_o.square() - p0.square() + p.square() - after_o.square()).flatten(1).sum(1) / 2
        fidelity = (-(e - state.e + kinetic) / control.temperature).clamp(max=0).exp()
        new_size = adapt(state.size, fidelity, self.target_fidelity)
        resting = torch.zeros_like(state.resting)
        new = UnderdampedState(x, p, resting, e, gradient, new_size)
        return new, UnderdampedInfo(state.x, x, state.gradient, fidelity, size)

    def _move(self, x: Batch, p: Tensor, time: Tensor) -> tuple[Batch, Tensor]:
        x = x + time * p
        if not self.reflect:
            return x, p
        x, turned = self.domain.reflect(x)
        return x, p * turned

    @torch.no_grad()
    def learn(self, info: UnderdampedInfo) -> None:
        """Move the step size that chains begin with towards the target."""
        self.log_step += self.learn_rate * (info.fidelity.mean() - self.target_fidelity)
