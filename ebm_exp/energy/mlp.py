"""A fully connected energy, for points and for images of a few pixels."""

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from ebm_exp.energy.base import Energy
from ebm_exp.energy.conditional import ClassAffine
from ebm_exp.energy.time import Fourier
from ebm_exp.precision import wide
from ebm_exp.types import Batch, EventShape, From, NClasses, PerSample, Positive, PositiveInt

_N_FREQUENCIES = 2  # of a time: a density in the plane changes slowly with it


class MLP(Energy):
    """E(x) = N(x) = w · φ(… φ(W₁ s·x + b₁) …) + b on the flattened point.

    Of a time, for ``noise=flow``, E(x, t) = (½ − t) ‖x‖² + (1 − t) N(x, t): near the data a potential of its velocity
    is −½‖x‖² and, 1 − t times smaller, what tells of the density. N is of order one where that density is smooth, and
    Ẽ = (½ + t) ‖x‖² + t N divides no error of N by 1 − t. For ``noise=edm`` E is N.

    Args:
        event_shape: shape of one point.
        widths: units of each hidden layer.
        activation: φ.
        input_scale: s, so that the data's finest structure is of order one.
        timed: take a time t ``[batch]`` in [0, 1]: its Fourier features beside the point.
        potential: of a time, what −∇E is fitted to, see ``NoiseProcess``.
        conditional: take labels y ``[batch]``, see ``ClassAffine``.
        n_classes: number of classes of the data.

    Raises:
        ValueError: when there are no labels to condition on.
    """

    def __init__(
        self,
        event_shape: EventShape,
        widths: tuple[PositiveInt, ...] = (256, 256),
        activation: nn.Module | None = None,
        input_scale: Positive = 1.0,
        timed: bool = False,
        potential: Annotated[Literal["velocity", "residual"], From("noise.potential")] = "velocity",
        conditional: bool = False,
        n_classes: NClasses = 0,
    ) -> None:
        super().__init__()
        self.context = ("t",) * timed + ("y",) * conditional
        self.activation = nn.SiLU() if activation is None else activation
        self.input_scale = input_scale
        self.is_velocity = potential == "velocity"
        self.time = Fourier(_N_FREQUENCIES) if timed else None
        sizes = (math.prod(event_shape) + 2 * _N_FREQUENCIES * timed, *widths)
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes))
        self.affines = nn.ModuleList([ClassAffine(n_classes, n) for n in widths] if conditional else [])
        self.head = nn.Linear(sizes[-1], 1)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        h = self.input_scale * x.flatten(1)
        if self.time is not None:
            h = torch.cat([h, self.time(context["t"])], 1)
        for i, layer in enumerate(self.layers):
            h = layer(h)
            if self.affines:
                h = self.affines[i](h, context["y"])
            h = self.activation(h)
        n = wide(self.head(h).squeeze(1))
        if self.time is None or not self.is_velocity:
            return n
        t = context["t"]
        return (0.5 - t) * x.flatten(1).square().sum(1) + (1 - t) * n
