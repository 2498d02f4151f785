"""Energies of time whose densities are known: what a noise process is fitted to when nothing is left to learn."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ebm_exp.dataset import Mixture
from ebm_exp.energy import Energy
from ebm_exp.noise import EDM, Flow, NoiseProcess

CPU = torch.device("cpu")


def mixture(n_dims: int = 2, **settings: object) -> Mixture:
    settings = {"n_modes": 3, "spread": 1.0, "weights": "drawn", "n_train": 2000, "n_test": 1000} | settings
    return Mixture("mixture", CPU, 0, n_dims=n_dims, **settings)  # type: ignore[arg-type]


def processes(data: Mixture) -> dict[str, NoiseProcess]:
    return {"flow": Flow(), "edm": EDM(data)}


class Exact(Energy):
    """E whose exp(−Ẽ) is the density of a mixture with the noise of a process, times exp(−shift(t)).

    Args:
        noise: the process.
        truth: the mixture.
        shift: a function of time ``[batch]``.
    """

    context = ("t",)

    def __init__(
        self, noise: NoiseProcess, truth: Mixture, shift: Callable[[Tensor], Tensor] = torch.zeros_like
    ) -> None:
        super().__init__()
        self.noise, self.truth, self.shift = noise, truth, shift

    def forward(self, x: Tensor, **context: Tensor) -> Tensor:
        t, noise = context["t"], self.noise
        if isinstance(noise, Flow):  # x and t as they are
            log_p = self.truth.log_prob_noised(x, t, 1 - t) - self.shift(t)
            normal = 0.5 * x.shape[1] * (2 * math.pi * (1 - t)).log()
            return -((1 - t) * (log_p + normal) + 0.5 * x.square().sum(1)) / t
        assert isinstance(noise, EDM)  # u and c
        most, least = noise.span
        sigma = least * (most / least) ** t
        variance = sigma**2 + noise.scale**2
        log_p = self.truth.log_prob_noised(noise.mean.to(x) + variance.sqrt()[:, None] * x, t * 0 + 1, sigma)
        normal = 0.5 * x.square().sum(1) + 0.5 * x.shape[1] * (2 * math.pi * variance).log()
        return -sigma / noise.scale * (log_p - self.shift(sigma) + normal)
