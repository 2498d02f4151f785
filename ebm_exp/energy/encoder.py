"""A residual encoder whose gradient is a decoder: for losses on ∇E, where an image comes out of ∇E."""

from typing import Any

import torch
from torch import Tensor, nn

from ebm_exp.energy.base import Energy
from ebm_exp.energy.convolution import Convolution
from ebm_exp.energy.residual import Attention, Block, Conditions, check_stages
from ebm_exp.energy.time import small
from ebm_exp.precision import wide
from ebm_exp.types import Batch, EventShape, NClasses, NonNegativeInt, PerSample, PositiveInt

_SIDE = 16  # pixels that the first stage sees, about, where nothing else is asked for
_QUADRATIC = 0.05  # weight at the start of the quadratic features, which are sums over all pixels


class Encoder(Energy):
    """E(x, t) = ½ g(t) ‖x‖² + Σ over stages and pixels of w(t) · h² + head(h of the last stage).

    A velocity that carries noise to data is nearly linear in x at both ends, so its potential is nearly quadratic;
    the squares of each stage's features, and of the head's hidden units, give it that at every scale. ∇ₓE runs back
    through all stages, a decoder with tied weights.

    Args:
        event_shape: ``(channels, height, width)`` of an image.
        channels: of each stage, a residual block.
        strides: of each stage: 2 halves the image.
        stem_stride: of the first convolution; with one, large images cost a fraction. null: the one that brings the
            shorter side nearest to 16.
        stem_kernel: null: three strides wide.
        stem_padding: null: as wide as the stride.
        width: of the embedding of time and labels.
        head_width: units of the head's hidden layer.
        attention: transformer layers after each stage; empty: none.
        timed: take a time t ``[batch]`` in [0, 1].
        conditional: take labels y ``[batch]``.
        no_label: one class more, for points without a label (``objective.label_dropping``, ``sampling.guidance``).
        n_classes: number of classes of the data.
        activation: smooth, for a loss on ∇E.

    Raises:
        ValueError: when points are no images, stages, strides and layers of attention differ in number, or there are no
            labels to condition on.
    """

    def __init__(
        self,
        event_shape: EventShape,
        channels: tuple[PositiveInt, ...] = (32, 64, 128, 128),
        strides: tuple[PositiveInt, ...] = (1, 2, 2, 1),
        stem_kernel: PositiveInt | None = None,
        stem_stride: PositiveInt | None = None,
        stem_padding: NonNegativeInt | None = None,
        width: PositiveInt = 128,
        head_width: PositiveInt = 256,
        attention: tuple[NonNegativeInt, ...] = (),
        timed: bool = False,
        conditional: bool = False,
        no_label: bool = False,
        n_classes: NClasses = 0,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_stages("encoder", event_shape, channels, strides)
        if attention and len(attention) != len(channels):
            raise ValueError(f"attention: must be one for each of channels, {len(channels)}, got {len(attention)}")
        self.activation = nn.SiLU() if activation is None else activation
        self.conditions = Conditions(width, timed, n_classes if conditional else None, no_label, self.activation)
        self.context, self.no_label = self.conditions.context, self.conditions.no_label
        embedded = width if self.context else None
        stride = stem_stride or max(1, round(min(event_shape[1:]) / _SIDE))
        padding = stride if stem_padding is None else stem_padding
        self.stem = Convolution(event_shape[0], channels[0], stem_kernel or 3 * stride, stride, padding)
        sizes = [channels[0], *channels]
        self.blocks = nn.ModuleList(
            Block(n_in, n_out, stride, embedded, self.activation)
            for n_in, n_out, stride in zip(sizes, channels, strides, strict=False)
        )
        self.attention = nn.ModuleList(
            nn.Sequential(*(Attention(n, self.activation) for _ in range(n_layers)))
            for n, n_layers in zip(channels, attention or (0,) * len(channels), strict=True)
        )
        self.squares = nn.ModuleList(_Squares(n, embedded) for n in [*sizes, head_width])
        self.curvature: Any = nn.Linear(width, 1) if embedded else nn.Parameter(torch.zeros(1))
        with torch.no_grad():
            n_features = self._features(torch.zeros(1, *event_shape), None)[-1].numel()
        self.hidden = nn.Linear(n_features, head_width)
        self.head = nn.Linear(head_width, 1)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        embedding = self.conditions(context)
        features = self._features(x, embedding)
        hidden = self.hidden(features[-1].flatten(1))
        e = wide(self.head(self.activation(hidden))).squeeze(1)
        for squares, h in zip(self.squares, [*features, hidden], strict=True):
            e = e + _QUADRATIC * squares(h, embedding)
        curvature = self.curvature if embedding is None else wide(self.curvature(embedding)).squeeze(1)
        return e + 0.5 * curvature * wide(x).square().flatten(1).sum(1)

    def _features(self, x: Batch, embedding: Tensor | None) -> list[Tensor]:
        features = [self.stem(x)]
        for block, attention in zip(self.blocks, self.attention, strict=True):
            features.append(attention(block(features[-1], embedding)))
        return features


class _Squares(nn.Module):
    """Σ over channels and pixels of w · h², w by the embedding if there is one: h ``[batch, n, …]`` → ``[batch]``."""

    def __init__(self, n: int, embedded: int | None) -> None:
        super().__init__()
        bound = n**-0.5
        self.weight = nn.Parameter(torch.empty(n).uniform_(-bound, bound))
        self.change = None if embedded is None else small(nn.Linear(embedded, n))

    def forward(self, h: Tensor, embedding: Tensor | None) -> Tensor:
        of_channels = wide(h).square().flatten(2).sum(2) if h.dim() > 2 else wide(h).square()
        weight = self.weight if self.change is None else self.weight + wide(self.change(embedding))
        return (of_channels * weight).sum(1)
