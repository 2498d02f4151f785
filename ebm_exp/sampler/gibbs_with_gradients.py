"""Gibbs with gradients: points of two levels, flipped where the gradient says that it pays.

Flip i is proposed with q(i|x) ∝ exp(d_i(x)/2), d_i(x) = −(x_i′ − x_i) ∂E/∂x_i / T, the first-order estimate of the
change of log p, and accepted with min(1, exp(−(E(x′) − E(x))/T) q(i|x′)/q(i|x)).            (Grathwohl et al. 2021,
Algorithm 1)
"""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.energy.base import energy_gradient
from ebm_exp.metrics import ACCEPTANCE, CHAIN_GRAD_NORM
from ebm_exp.sampler.base import Control, Sampler
from ebm_exp.types import Batch, EnergyFn, From, Positive, PositiveInt, per_point


class GibbsState(NamedTuple):
    """Where the chains are, and what the energy is there."""

    x: Tensor  # [batch, *event], each component an end of the domain
    e: Tensor  # [batch]
    gradient: Tensor  # [batch, *event]


class GibbsNoise(NamedTuple):
    """The randomness of one step."""

    gumbel: Tensor  # [batch, d]
    accept: Tensor  # [batch], uniform


class GibbsInfo(NamedTuple):
    """The tensors of one step."""

    acceptance: Tensor  # [batch], probability
    gradient: Tensor  # [batch, *event], before

    def metrics(self) -> dict[str, Tensor]:
        """Means over chains."""
        return {
            ACCEPTANCE: self.acceptance.mean(),
            CHAIN_GRAD_NORM: self.gradient.flatten(1).norm(dim=1).mean(),
        }


class GibbsWithGradients(Sampler):
    """One flip per step, for data of two levels.

    Args:
        n_steps: proposed flips per chain in training.
        domain: its ends are the two levels.
        temperature: T; null: the experiment's, in sample.py that of the run.
    """

    adjusted = True
    binary = True
    requires = "binary"

    def __init__(
        self,
        n_steps: PositiveInt,
        domain: Annotated[Domain, From("dataset.domain")],
        temperature: Positive | None = None,
    ) -> None:
        super().__init__()
        self.n_steps = n_steps
        self.domain = domain
        self.temperature = temperature

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> GibbsState:
        x = torch.where(x < self.domain.centre, self.domain.low, self.domain.high).to(x.dtype)
        e, gradient = energy_gradient(energy, x)
        return GibbsState(x, e, gradient)

    def relocate(self, energy: EnergyFn, state: GibbsState, x: Batch) -> GibbsState:
        e, gradient = energy_gradient(energy, x)
        return state._replace(x=x, e=e, gradient=gradient)

    def draw(self, generator: torch.Generator, x: Batch) -> GibbsNoise:
        u = torch.rand(x.flatten(1).shape, generator=generator, device=x.device)
        gumbel = -(-u.log()).log()
        return GibbsNoise(gumbel, torch.rand(len(x), generator=generator, device=x.device))

    def step(
        self, energy: EnergyFn, state: GibbsState, noise: GibbsNoise, control: Control
    ) -> tuple[GibbsState, GibbsInfo]:
        x, t = state.x.flatten(1), control.temperature.view(-1, 1)
        log_q = self._log_proposal(x, state.gradient, t)
        i = (log_q + noise.gumbel).argmax(1, keepdim=True)
        x_new = x.scatter(1, i, self.domain.low + self.domain.high - x.gather(1, i)).view_as(state.x)
        e, gradient = energy_gradient(energy, x_new)
        back = self._log_proposal(x_new.flatten(1), gradient, t).gather(1, i) - log_q.gather(1, i)
        log_acceptance = (state.e - e) / control.temperature + back.squeeze(1)
        accepted = noise.accept.log() < log_acceptance
        there = per_point(accepted, x_new)
        new = state._replace(
            x=torch.where(there, x_new, state.x),
            e=torch.where(accepted, e, state.e),
            gradient=torch.where(there, gradient, state.gradient),
        )
        return new, GibbsInfo(log_acceptance.clamp(max=0).exp(), state.gradient)

    def _log_proposal(self, x: Tensor, gradient: Tensor, temperature: Tensor) -> Tensor:
        """log q(i|x) ``[batch, d]``."""
        change = -(self.domain.low + self.domain.high - 2 * x) * gradient.flatten(1) / temperature
        return (change / 2).log_softmax(1)
