"""A leapfrog trajectory and its acceptance: what ``hmc`` and ``mala`` have in common.

p ~ N(0, T·M),  H(x, p) = E(x) + pᵀM⁻¹p/2; L leapfrog steps of size ε,                       (Neal 2011, Eq. 5.18–5.20)

    p ← p − (ε/2) g(x),   x ← x + ε M⁻¹p,   p ← p − (ε/2) g(x),   g = ∇E,

ends at (x′, p′), which each chain accepts for itself with probability min(1, exp(−(H(x′, p′) − H(x, p))/T)). One step
with ε = √λ is the Langevin step x − (λ/2)∇E + N(0, λT). At a wall of the box a trajectory is reflected, x and p: that
preserves volume and can be reversed, so the distribution stays exact. So does any other vector field g: the limit on
drift shortens g where a step would be longer than the noise can undo (a truncated drift: Roberts & Tweedie 1996,
section 1.4.2).
"""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy.base import energy_gradient
from ebm_exp.metrics import ACCEPTANCE, CHAIN_GRAD_NORM, DISPLACEMENT, STEP_SIZE
from ebm_exp.random import normal_like
from ebm_exp.sampler.adapt import StepSize, adapt, start
from ebm_exp.sampler.base import Control, Sampler, per_chain
from ebm_exp.types import Batch, EnergyFn, PerSample


class HamiltonianState(NamedTuple):
    """Where the chains are, and what the energy is there."""

    x: Tensor  # [batch, *event]
    e: Tensor  # [batch]
    gradient: Tensor  # [batch, *event]
    size: StepSize


class HamiltonianNoise(NamedTuple):
    """The randomness of one transition."""

    momentum: Tensor  # [batch, *event], standard normal
    accept: Tensor  # [batch], uniform
    jitter: Tensor  # [batch], uniform


class HamiltonianInfo(NamedTuple):
    """The tensors of one transition."""

    before: Tensor  # [batch, *event]
    after: Tensor  # [batch, *event]
    gradient: Tensor  # [batch, *event], before
    acceptance: Tensor  # [batch], probability
    step_size: Tensor  # [batch], in the sampler's own units

    def metrics(self) -> dict[str, Tensor]:
        """Means over chains."""
        return {
            ACCEPTANCE: self.acceptance.mean(),
            STEP_SIZE: self.step_size.mean(),
            CHAIN_GRAD_NORM: self.gradient.flatten(1).norm(dim=1).mean(),
            DISPLACEMENT: (self.after - self.before).flatten(1).norm(dim=1).mean(),
        }


class Hamiltonian(Sampler):
    """L leapfrog steps and one acceptance, for chains that each have a step size."""

    adjusted = True
    power = 1.0  # the step size that users name is ε**power

    def __init__(
        self,
        step_size: float,
        n_steps: int,
        domain: Domain,
        temperature: float | None,
        n_leapfrog: int,
        mass: float | tuple[float, ...],
        jitter: float,
        drift_limit: float | None,
        target_acceptance: float,
        learn_rate: float,
        reflect: bool,
    ) -> None:
        super().__init__()
        d = math.prod(domain.event_shape)
        masses = torch.tensor(mass, dtype=torch.float32).reshape(-1)
        if len(masses) not in (1, d):
            raise ValueError(f"mass: must be one number or a list of {d}, got {len(masses)}")
        shaped = masses.expand(d).reshape(domain.event_shape)
        self.n_steps = n_steps
        self.domain = domain
        self.temperature = temperature
        self.n_leapfrog = n_leapfrog
        self.jitter = jitter
        self.drift_limit = drift_limit
        self.target_acceptance = target_acceptance
        self.learn_rate, self.reflect = learn_rate, reflect
        self.mass: Tensor | None  # [*event]; None: all one
        self.log_step: Tensor
        self.register_buffer("mass", None if bool((masses == 1).all()) else shaped, persistent=False)
        self.register_buffer("log_step", torch.tensor(math.log(step_size) / self.power))

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> HamiltonianState:
        e, gradient = energy_gradient(energy, x)
        return HamiltonianState(x, e, gradient, start(self.log_step, len(x), n_adapt))

    def relocate(self, energy: EnergyFn, state: HamiltonianState, x: Batch) -> HamiltonianState:
        e, gradient = energy_gradient(energy, x)
        return state._replace(x=x, e=e, gradient=gradient)

    def unbounded(self) -> Self:
        free = super().unbounded()
        free.reflect = False
        return free

    def adapted(self, state: HamiltonianState) -> Tensor:
        return (state.size.log - self.log_step).exp()

    def draw(self, generator: torch.Generator, x: Batch) -> HamiltonianNoise:
        momentum = normal_like(x, generator)
        accept, jitter = torch.rand(2, len(x), generator=generator, device=x.device, dtype=x.dtype)
        return HamiltonianNoise(momentum, accept, jitter)

    def step(
        self, energy: EnergyFn, state: HamiltonianState, noise: HamiltonianNoise, control: Control
    ) -> tuple[HamiltonianState, HamiltonianInfo]:
        t, epsilon = control.temperature, state.size.log.exp() * control.scale
        if self.jitter:
            epsilon = epsilon * (1 + self.jitter * (2 * noise.jitter - 1))
        p0 = noise.momentum * per_chain(t.sqrt(), state.x)
        p0 = p0 if self.mass is None else p0 * self.mass.sqrt()
        x, p, e, gradient = self._leapfrog(energy, state, p0, per_chain(epsilon, state.x), t)
        change = p.square() - p0.square()
        kinetic = (change if self.mass is None else change / self.mass).flatten(1).sum(1) / 2
        log_acceptance = -(e - state.e + kinetic) / t
        accepted = noise.accept.log() < log_acceptance  # a trajectory out of the floating-point numbers: NaN, refused
        acceptance = torch.where(log_acceptance.isnan(), 0.0, log_acceptance.clamp(max=0).exp())
        there = per_chain(accepted, x)
        new = state._replace(
            x=torch.where(there, x, state.x),
            e=torch.where(accepted, e, state.e),
            gradient=torch.where(there, gradient, state.gradient),
            size=adapt(state.size, acceptance, self.target_acceptance),
        )
        return new, HamiltonianInfo(state.x, new.x, state.gradient, acceptance, state.size.log.exp() ** self.power)

    def _leapfrog(
        self, energy: EnergyFn, state: HamiltonianState, p: Tensor, epsilon: Tensor, temperature: Tensor
    ) -> tuple[Batch, Tensor, PerSample, Tensor]:
        x, e, gradient = state.x, state.e, state.gradient
        for _ in range(self.n_leapfrog):
            p = torch.addcmul(p, epsilon, self._limit(gradient, temperature, epsilon), value=-0.5)
            x = torch.addcmul(x, epsilon, p if self.mass is None else p / self.mass)
            if self.reflect:
                x, turned = self.domain.reflect(x)
                p = p * turned
            e, gradient = energy_gradient(energy, x)
            p = torch.addcmul(p, epsilon, self._limit(gradient, temperature, epsilon), value=-0.5)
        return x, p, e, gradient

    def _limit(self, gradient: Tensor, temperature: Tensor, epsilon: Tensor) -> Tensor:
        """∇E, shortened so that the drift ε²|g|/2 is at most ``drift_limit`` lengths of the noise, ε√(dT)."""
        if self.drift_limit is None:
            return gradient
        noise = per_chain((temperature * gradient[0].numel()).sqrt(), gradient)
        longest = 2 * self.drift_limit * noise / epsilon
        norm = per_chain(gradient.flatten(1).norm(dim=1), gradient)
        return gradient * (longest / norm).clamp(max=1)

    @torch.no_grad()
    def learn(self, info: HamiltonianInfo) -> None:
        """Move the step size that chains begin with towards the target acceptance."""
        self.log_step += self.learn_rate * (info.acceptance.mean() - self.target_acceptance)
