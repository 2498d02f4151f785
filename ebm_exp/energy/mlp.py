"""A fully connected energy, for points and for images of a few pixels."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from ebm_exp.energy.base import Energy, Standard
from ebm_exp.energy.conditional import ClassAffine
from ebm_exp.energy.time import Fourier
from ebm_exp.precision import wide
from ebm_exp.types import Batch, EventShape, From, NClasses, PerSample, Positive, PositiveInt

_N_FREQUENCIES = 2  # of a time: a density in the plane changes slowly with it


class MLP(Energy):
    """E(x) = N(x) = w · φ(… φ(W₁ s·x + b₁) …) + b on the flattened point.

    Of a time it is what the noise process says of standard normal data (``Standard``, with r its scale) and a share
    of N(x, t), which falls with the noise, so that Ẽ divides no error of N by little noise:

    E(x, t) = ½ curvature · variance · ‖x‖² + r/(1 + r) N(x, t),

    which is (½ − t) ‖x‖² + (1 − t) N of ``noise=flow``, near the data a potential of its velocity, −½‖x‖², but for what
    tells of the density; and N σ/(σ + s) of ``noise=edm``, where s is the data's deviation. N is of order one where the
    density is smooth.

    Args:
        event_shape: shape of one point.
        widths: units of each hidden layer.
        activation: φ.
        input_scale: s, so that the data's finest structure is of order one.
        timed: take a time t ``[batch]`` in [0, 1]: its Fourier features beside the point.
        standard: of the noise process, for an energy of time.
        conditional: take labels y ``[batch]``, see ``ClassAffine``.
        n_classes: number of classes of the data.

    Raises:
        ValueError: when there are no labels to condition on, or no noise process to be timed by.
    """

    def __init__(
        self,
        event_shape: EventShape,
        widths: tuple[PositiveInt, ...] = (256, 256),
        activation: nn.Module | None = None,
        input_scale: Positive = 1.0,
        timed: bool = False,
        standard: Annotated[Callable[[Tensor], Standard] | None, From("noise.standard")] = None,
        conditional: bool = False,
        n_classes: NClasses = 0,
    ) -> None:
        super().__init__()
        if timed and standard is None:
            raise ValueError("timed: needs a noise process")
        self.context = ("t",) * timed + ("y",) * conditional
        self.activation = nn.SiLU() if activation is None else activation
        self.input_scale = input_scale
        self.standard = standard if timed else None
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
        if self.standard is None:
            return n
        now, squares = self.standard(wide(context["t"])), x.flatten(1).square().sum(1)
        return 0.5 * now.curvature * now.variance * squares + now.scale / (1 + now.scale) * n
