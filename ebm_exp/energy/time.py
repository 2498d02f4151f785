"""How a network takes a noise level or time t in [0, 1]."""

import math

import torch
from torch import Tensor, nn

from ebm_exp.types import PerSample

_SMALL = 0.01


class Fourier(nn.Module):
    """sin πkt and cos πkt, k = 1 … n: t ``[batch]`` → ``[batch, 2 n]``.

    Args:
        n: frequencies.
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, t: PerSample) -> Tensor:
        angles = math.pi * t[:, None] * torch.arange(1, self.n + 1, device=t.device)
        return torch.cat([angles.sin(), angles.cos()], 1)


def small(linear: nn.Linear) -> nn.Linear:
    """The layer, with outputs near 0 at first; not 0, because a spectral norm divides by the weight's norm."""
    nn.init.normal_(linear.weight, std=_SMALL)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear


class Film(nn.Module):
    """A gain and a bias of each channel by an embedding (Perez et al. 2018), little of both at first.

    h ``[batch, channels, …]``, embedding ``[batch, width]`` → like h.

    Args:
        width: of the embedding.
        channels: of what is modulated.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.linear = small(nn.Linear(width, 2 * channels))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        gain, bias = self.linear(embedding).view(len(h), 2, h.shape[1], *[1] * (h.dim() - 2)).unbind(1)
        return torch.addcmul(bias, 1 + gain, h)
