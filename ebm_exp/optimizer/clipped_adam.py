"""Adam on gradients clipped by what it has seen of them (Du & Mordatch 2019, their code).

g ← clamp(g, ±(n √(v/(1 − β₂ᵗ)) + a)),  v: Adam's mean of g² before this step, t: this step, from 1

with n = 3 and a = .1, component by component; v takes in the clipped g. So one wild batch moves v little.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ebm_exp.part import Part
from ebm_exp.types import NonNegative, Positive, Probability


class ClippedAdam(torch.optim.Adam, Part):
    """Adam with a bound on each component of the gradient.

    Args:
        params: what to train: parameters, or groups of them.
        lr: learning rate.
        betas: shares of the past in Adam's means of g and g².
        n_std: n, root mean squares that a component may reach.
        floor: a, what it may reach in any case.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: Positive = 3e-4,
        betas: tuple[Probability, Probability] = (0.0, 0.999),
        n_std: Positive = 3.0,
        floor: NonNegative = 0.1,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas)
        self.n_std, self.floor = n_std, floor

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Clip the gradients in place and take Adam's step; no host synchronisation."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    bound = self._bound(p, group["betas"][1])
                    p.grad.clamp_(-bound, bound)
        return super().step(closure)

    def _bound(self, p: nn.Parameter, beta: float) -> Tensor:
        state = self.state.get(p)
        if not state:
            return torch.full((), self.floor, dtype=p.dtype, device=p.device)
        correction = 1 - beta ** (state["step"] + 1)
        return self.n_std * (state["exp_avg_sq"] / correction).sqrt() + self.floor
