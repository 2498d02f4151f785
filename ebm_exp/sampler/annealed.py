"""A ladder around any kernel: chains begin hot, or with long steps, and cool down to the target.

T_t = T · r^(1 − t/n), t = 0 … n, then T: a ladder of temperatures (Kirkpatrick et al. 1983), or, with ``ladder:
step_size``, the same factor on the step size (Song & Ermon 2019 take both at once).
"""

from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from ebm_exp.sampler.base import Control, Info, Noise, Sampler, State
from ebm_exp.types import Batch, EnergyFn, Positive, PositiveInt


class AnnealedState(NamedTuple):
    """The kernel's state and where on the ladder it is."""

    x: Tensor  # [batch, *event]
    t: Tensor  # [], steps taken
    local: State


class Annealed(Sampler):
    """A kernel that cools down.

    Args:
        kernel: what moves the chains.
        n_steps: steps per chain in training.
        cooling_steps: n, steps until the target is reached.
        factor: r, of the first step.
        ladder: what is raised: the ``temperature`` or the ``step_size``.
    """

    def __init__(
        self,
        kernel: Sampler,
        n_steps: PositiveInt,
        cooling_steps: PositiveInt = 100,
        factor: Positive = 10.0,
        ladder: Literal["temperature", "step_size"] = "temperature",
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.n_steps = n_steps
        self.cooling_steps = cooling_steps
        self.factor = factor
        self.ladder = ladder
        self.temperature, self.clamped = kernel.temperature, kernel.clamped
        self.adjusted = kernel.adjusted
        self.binary = kernel.binary
        self.gradient_only = kernel.gradient_only
        self.squared = kernel.squared

    def init(self, energy: EnergyFn, x: Batch, n_adapt: int = 0) -> AnnealedState:
        local = self.kernel.init(energy, x, n_adapt)
        return AnnealedState(local.x, torch.zeros((), device=x.device), local)

    def relocate(self, energy: EnergyFn, state: AnnealedState, x: Batch) -> AnnealedState:
        return state._replace(x=x, local=self.kernel.relocate(energy, state.local, x))

    def unbounded(self) -> Self:
        free = super().unbounded()
        free.kernel = self.kernel.unbounded()
        free.clamped = free.kernel.clamped
        return free

    def draw(self, generator: torch.Generator, x: Batch) -> Noise:
        return self.kernel.draw(generator, x)

    def step(
        self, energy: EnergyFn, state: AnnealedState, noise: Noise, control: Control
    ) -> tuple[AnnealedState, Info]:
        raised = self.factor ** (1 - state.t / self.cooling_steps).clamp(min=0)
        hot, long = (raised, 1.0) if self.ladder == "temperature" else (1.0, raised)
        raised_control = Control(control.temperature * hot, control.scale * long)
        local, info = self.kernel.step(energy, state.local, noise, raised_control)
        return state._replace(x=local.x, t=state.t + 1, local=local), info

    def learn(self, info: Info) -> None:
        self.kernel.learn(info)
