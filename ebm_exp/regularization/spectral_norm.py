"""Spectral normalisation (Miyato et al., ICLR 2018): W/σ(W), which bounds each layer's Lipschitz constant by one.

σ is the largest singular value of W as a matrix [out, rest], by power iteration: v ← Wᵀu/|Wᵀu|, u ← Wv/|Wv|,
σ = uᵀWv. Du & Mordatch's code uses the bounded form W/σ · min(σ, 1) = W/max(σ, 1), which leaves a layer free
to be small.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from ebm_exp.energy import Energy
from ebm_exp.precision import full_precision
from ebm_exp.regularization.base import Term
from ebm_exp.types import PositiveInt

_CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SpectralNorm(Term):
    """Normalises the weights of an energy's layers.

    Args:
        layers: ``all`` (the paper) or ``conv`` (its code, which leaves linear layers alone).
        bounded: divide by max(σ, 1) instead of σ.
        n_power_iterations: per forward pass in training mode; in evaluation mode u and v rest.
    """

    pure = True

    def __init__(
        self, layers: Literal["all", "conv"] = "all", bounded: bool = False, n_power_iterations: PositiveInt = 1
    ) -> None:
        self.layers = layers
        self.bounded = bounded
        self.n_power_iterations = n_power_iterations

    def prepare(self, energy: Energy) -> Energy:
        kinds = _CONV if self.layers == "conv" else (nn.Linear, *_CONV)
        for module in list(energy.modules()):
            if isinstance(module, kinds):
                normed = PowerIteration(module.weight, self.bounded, self.n_power_iterations)
                parametrize.register_parametrization(module, "weight", normed)
        return energy


class PowerIteration(nn.Module):
    """W ↦ W/σ(W), σ by power iteration from where the last one ended."""

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, bounded: bool, n_power_iterations: int) -> None:
        super().__init__()
        self.bounded, self.n_power_iterations = bounded, n_power_iterations
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(15):  # a start close enough for one iteration per step to follow the weights
            self.iterate(matrix)

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """One step of u and v towards the singular vectors of a weight ``[out, …]``."""
        matrix = weight.detach().flatten(1)
        self.v.copy_(normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        # In float32, whatever the engine's precision: a norm in bf16 is off by a hundredth.
        with full_precision(weight.device):
            matrix = weight.flatten(1)
            if self.training:
                for _ in range(self.n_power_iterations):
                    self.iterate(matrix)
            # Copies: the next iteration writes to u and v while this graph still needs them.
            sigma = torch.dot(self.u.clone(), matrix @ self.v.clone())
            return weight / (sigma.clamp(min=1) if self.bounded else sigma)
