"""A U-Net as an energy: its output field is bound to x, or its length is taken."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ebm_exp.energy.base import Energy
from ebm_exp.energy.convolution import Convolution, Transposed
from ebm_exp.energy.residual import Block, Conditions, check_stages
from ebm_exp.precision import wide
from ebm_exp.types import Batch, EventShape, NClasses, NonNegativeInt, PerSample, PositiveInt


class UNet(Energy):
    """E(x, t) = −⟨f(x, t), x⟩ or ½ ‖f(x, t)‖², f a U-Net (Wang & Du 2025, arXiv 2510.02300, both in this sign).

    ``norm`` begins with f near 0 and ∇E nearer still: a slow start.

    Args:
        event_shape: ``(channels, height, width)`` of an image.
        form: ``dot``: −⟨f, x⟩; ``norm``: ½ ‖f‖².
        channels: of each stage, a residual block on the way down and one on the way up.
        strides: of each stage: 2 halves the image.
        stem_kernel, stem_stride, stem_padding: of the first convolution and, transposed, of the last.
        width: of the embedding of time and labels.
        timed: take a time t ``[batch]`` in [0, 1].
        conditional: take labels y ``[batch]``.
        no_label: one class more, for points without a label (``objective.label_dropping``, ``sampling.guidance``).
        n_classes: number of classes of the data.
        activation: smooth, for a loss on ∇E.

    Raises:
        ValueError: when points are no images, stages and strides differ in number, or there are no labels to condition
            on.
    """

    def __init__(
        self,
        event_shape: EventShape,
        form: Literal["dot", "norm"] = "dot",
        channels: tuple[PositiveInt, ...] = (32, 64, 64),
        strides: tuple[PositiveInt, ...] = (1, 2, 1),
        stem_kernel: PositiveInt = 3,
        stem_stride: PositiveInt = 1,
        stem_padding: NonNegativeInt = 1,
        width: PositiveInt = 128,
        timed: bool = False,
        conditional: bool = False,
        no_label: bool = False,
        n_classes: NClasses = 0,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_stages("unet", event_shape, channels, strides)
        self.form, self.event_shape = form, tuple(event_shape)
        self.activation = nn.SiLU() if activation is None else activation
        self.conditions = Conditions(width, timed, n_classes if conditional else None, no_label, self.activation)
        self.context, self.no_label = self.conditions.context, self.conditions.no_label
        embedded = width if self.context else None
        self.stem = Convolution(event_shape[0], channels[0], stem_kernel, stem_stride, stem_padding)
        sizes = [channels[0], *channels]
        self.down = nn.ModuleList(
            Block(n_in, n_out, stride, embedded, self.activation)
            for n_in, n_out, stride in zip(sizes, channels, strides, strict=False)
        )
        self.up = nn.ModuleList(
            Block(deep + skip, skip, 1, embedded, self.activation)
            for skip, deep in zip(reversed(sizes[:-1]), reversed(sizes[1:]), strict=True)
        )
        self.last = Transposed(channels[0], event_shape[0], stem_kernel, stem_stride, stem_padding)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        f = wide(self.field(x, self.conditions(context))).flatten(1)
        if self.form == "norm":
            return 0.5 * f.square().sum(1)
        return -(f * wide(x).flatten(1)).sum(1)

    def field(self, x: Batch, embedding: Tensor | None) -> Batch:
        """f ``[batch, *event]``."""
        skips = [self.stem(x)]
        for block in self.down:
            skips.append(block(skips[-1], embedding))
        h = skips.pop()
        for block in self.up:
            skip = skips.pop()
            h = h if h.shape[2:] == skip.shape[2:] else interpolate(h, skip.shape[2:])
            h = block(torch.cat([h, skip], 1), embedding)
        return self.last(self.activation(h), self.event_shape[1:])
