"""A plain convolutional energy for images."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from ebm_exp.energy.base import Energy
from ebm_exp.energy.conditional import ClassAffine
from ebm_exp.energy.convolution import Convolution
from ebm_exp.precision import wide
from ebm_exp.types import Batch, EventShape, NClasses, NonNegativeInt, PerSample, PositiveInt


class Conv(Energy):
    """A first convolution, then one convolution of stride 2 per further width, a hidden layer, a linear unit.

    Of UvA's deep learning tutorial 8: channels (16, 32, 64, 64), width 64, kernel 3, stem 5, 2, 4, swish. VanillaNet of
    ebm-anatomy (Nijkamp et al. 2020): channels (32, 64, 128, 256), width None, leaky ReLU 0.05. MNIST network of Du &
    Mordatch 2019: channels (64, 64, 128, 256), leaky ReLU 0.2; its convolutions have no biases, and its padding leaves
    4×4 pixels to the hidden layer where ours leaves 3×3.

    Args:
        event_shape: ``(channels, height, width)`` of an image.
        channels: output channels of each convolution; each but the first halves the image.
        width: units of the hidden layer; None: no such layer.
        kernel: of the convolutions of stride 2: 4 rounds halves of the image down, 3 up.
        activation: applied after each layer but the last.
        stem_kernel, stem_stride, stem_padding: of the first convolution; with a stride, chains on large images cost
            a fraction.
        conditional: take labels y ``[batch]``, see ``ClassAffine``.
        n_classes: number of classes of the data.

    Raises:
        ValueError: when points are no images or too small to be halved so often, channels is empty, or there are no
            labels to condition on.
    """

    def __init__(
        self,
        event_shape: EventShape,
        channels: tuple[PositiveInt, ...] = (32, 64, 64),
        width: PositiveInt | None = 128,
        kernel: Literal[3, 4] = 4,
        activation: nn.Module | None = None,
        stem_kernel: PositiveInt = 3,
        stem_stride: PositiveInt = 1,
        stem_padding: NonNegativeInt = 1,
        conditional: bool = False,
        n_classes: NClasses = 0,
    ) -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ValueError(
                f"conv needs images [channels, height, width], the data set has points of shape {[*event_shape]}"
            )
        if not channels:
            raise ValueError("channels: needs at least one convolution")
        self.context = ("y",) if conditional else ()
        self.activation = nn.SiLU() if activation is None else activation
        stem = Convolution(event_shape[0], channels[0], stem_kernel, stem_stride, stem_padding)
        halvings = [Convolution(n_in, n_out, kernel, stride=2, padding=1) for n_in, n_out in pairwise(channels)]
        self.convs = nn.ModuleList([stem, *halvings])
        self.affines = nn.ModuleList([ClassAffine(n_classes, n) for n in channels] if conditional else [])
        side = [(n + 2 * stem_padding - stem_kernel) // stem_stride + 1 for n in event_shape[1:]]
        if min(side) < 1:
            raise ValueError(
                f"stem_kernel: must be at most {min(event_shape[1:]) + 2 * stem_padding}, the padded image's side, "
                f"got {stem_kernel}"
            )
        most = min(side).bit_length() - 1 if kernel == 4 else (min(side) - 1).bit_length()
        if len(halvings) > most:
            raise ValueError(
                f"channels: must be at most {most + 1} widths, got {len(channels)}: the first convolution makes images "
                f"of {event_shape[1]}×{event_shape[2]} {side[0]}×{side[1]}, each further one halves them"
            )
        for _ in halvings:
            side = [(n + 2 - kernel) // 2 + 1 for n in side]
        n_features = channels[-1] * side[0] * side[1]
        hidden = [] if width is None else [nn.Linear(n_features, width), self.activation]
        self.head = nn.Sequential(*hidden, nn.Linear(n_features if width is None else width, 1))

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if self.affines:
                x = self.affines[i](x, context["y"])
            x = self.activation(x)
        return wide(self.head(x.flatten(1)).squeeze(1))
