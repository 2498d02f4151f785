"""A fully connected energy, for points and for pictures of a few pixels."""

import math

from torch import nn

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample, Positive, PositiveInt


class MLP(Energy):
    """E(x) = w · φ(… φ(W₁ s·x + b₁) …) + b on the flattened point.

    Args:
        event_shape: shape of one point.
        widths: units of each hidden layer.
        activation: φ.
        input_scale: s, so that the data's finest structure is of order one.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        widths: tuple[PositiveInt, ...] = (256, 256),
        activation: nn.Module | None = None,
        input_scale: Positive = 1.0,
    ) -> None:
        super().__init__()
        phi = nn.SiLU() if activation is None else activation
        self.input_scale = input_scale
        layers: list[nn.Module] = []
        n_in = math.prod(event_shape)
        for width in widths:
            layers += [nn.Linear(n_in, width), phi]
            n_in = width
        self.net = nn.Sequential(*layers, nn.Linear(n_in, 1))

    def forward(self, x: Batch) -> PerSample:
        return self.net(self.input_scale * x.flatten(1)).squeeze(1).float()
