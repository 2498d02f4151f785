"""A plain convolutional energy for pictures."""

from itertools import pairwise

import torch
from torch import nn

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample, PositiveInt


class Conv(Energy):
    """A 3×3 convolution, then one 4×4 convolution of stride 2 per further width, a hidden layer, a linear unit.

    Args:
        event_shape: ``(channels, height, width)`` of a picture.
        channels: output channels of each convolution; each but the first halves the picture.
        width: units of the hidden layer.
        activation: applied after each layer but the last.

    Raises:
        ValueError: when points are no pictures, or too small to be halved so often, or channels is empty.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        channels: tuple[PositiveInt, ...] = (32, 64, 64),
        width: PositiveInt = 128,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ValueError(f"conv needs pictures [channels, height, width], the data set has points {event_shape}")
        if not channels:
            raise ValueError("channels: needs at least one convolution")
        if min(event_shape[1:]) < 2 ** (len(channels) - 1):
            raise ValueError(f"channels: {len(channels) - 1} halvings are too many for pictures of {event_shape[1:]}")
        phi = nn.SiLU() if activation is None else activation
        layers: list[nn.Module] = [nn.Conv2d(event_shape[0], channels[0], 3, padding=1), phi]
        for n_in, n_out in pairwise(channels):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), phi]
        self.features = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            n_features = self.features(torch.zeros(1, *event_shape)).shape[1]
        self.head = nn.Sequential(nn.Linear(n_features, width), phi, nn.Linear(width, 1))

    def forward(self, x: Batch) -> PerSample:
        return self.head(self.features(x)).squeeze(1).float()
