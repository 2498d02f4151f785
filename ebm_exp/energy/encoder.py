"""A residual encoder whose gradient is a decoder: for losses on ∇E, where an image comes out of ∇E."""

from typing import Any

import torch
from torch import Tensor, nn

from ebm_exp.energy.base import Energy
from ebm_exp.energy.time import Film, Fourier, small
from ebm_exp.types import Batch, EventShape, NClasses, NonNegativeInt, PerSample, PositiveInt

_N_FREQUENCIES = 16
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
        stem_kernel, stem_stride, stem_padding: of the first convolution; with a stride, large images cost a fraction.
        width: of the embedding of time and labels.
        head_width: units of the head's hidden layer.
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
        channels: tuple[PositiveInt, ...] = (32, 64, 128, 128),
        strides: tuple[PositiveInt, ...] = (1, 2, 2, 1),
        stem_kernel: PositiveInt = 3,
        stem_stride: PositiveInt = 1,
        stem_padding: NonNegativeInt = 1,
        width: PositiveInt = 128,
        head_width: PositiveInt = 256,
        timed: bool = False,
        conditional: bool = False,
        no_label: bool = False,
        n_classes: NClasses = 0,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ValueError(
                f"encoder needs images [channels, height, width], the data set has points of shape {[*event_shape]}"
            )
        if len(channels) != len(strides) or not channels:
            raise ValueError(f"strides: must be one for each of channels, {len(channels)}, got {len(strides)}")
        if conditional and n_classes < 1:
            raise ValueError("conditional: needs labels, this data set has none")
        if no_label and not conditional:
            raise ValueError("no_label: needs conditional=true")
        self.no_label = n_classes if no_label else None
        self.context = ("t",) * timed + ("y",) * conditional
        self.activation = nn.SiLU() if activation is None else activation
        self.time = nn.Sequential(Fourier(_N_FREQUENCIES), nn.Linear(2 * _N_FREQUENCIES, width)) if timed else None
        self.classes = nn.Embedding(n_classes + no_label, width) if conditional else None
        embedded = width if timed or conditional else None
        inner = (self.activation, nn.Linear(width, width), self.activation)
        self.embedding = nn.Sequential(*inner) if embedded else None
        self.stem = nn.Conv2d(event_shape[0], channels[0], stem_kernel, stem_stride, stem_padding)
        sizes = [channels[0], *channels]
        self.blocks = nn.ModuleList(
            _Block(n_in, n_out, stride, embedded, self.activation)
            for n_in, n_out, stride in zip(sizes, channels, strides, strict=False)
        )
        self.squares = nn.ModuleList(_Squares(n, embedded) for n in [*sizes, head_width])
        self.curvature: Any = nn.Linear(width, 1) if embedded else nn.Parameter(torch.zeros(1))
        with torch.no_grad():
            n_features = self._features(torch.zeros(1, *event_shape), None)[-1].numel()
        self.hidden = nn.Linear(n_features, head_width)
        self.head = nn.Linear(head_width, 1)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        embedded = [] if self.time is None else [self.time(context["t"])]
        embedded += [] if self.classes is None else [self.classes(context["y"])]
        embedding = None if self.embedding is None else self.embedding(torch.stack(embedded).sum(0))
        features = self._features(x, embedding)
        hidden = self.hidden(features[-1].flatten(1))
        e = _wide(self.head(self.activation(hidden))).squeeze(1)
        for squares, h in zip(self.squares, [*features, hidden], strict=True):
            e = e + _QUADRATIC * squares(h, embedding)
        curvature = self.curvature if embedding is None else _wide(self.curvature(embedding)).squeeze(1)
        return e + 0.5 * curvature * _wide(x).square().flatten(1).sum(1)

    def _features(self, x: Batch, embedding: Tensor | None) -> list[Tensor]:
        features = [self.stem(x)]
        for block in self.blocks:
            features.append(block(features[-1], embedding))
        return features


def _wide(x: Tensor) -> Tensor:
    """In float32 at least: sums over pixels are not left to bf16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _Squares(nn.Module):
    """Σ over channels and pixels of w · h², w by the embedding if there is one: h ``[batch, n, …]`` → ``[batch]``."""

    def __init__(self, n: int, embedded: int | None) -> None:
        super().__init__()
        bound = n**-0.5
        self.weight = nn.Parameter(torch.empty(n).uniform_(-bound, bound))
        self.change = None if embedded is None else small(nn.Linear(embedded, n))

    def forward(self, h: Tensor, embedding: Tensor | None) -> Tensor:
        of_channels = _wide(h).square().flatten(2).sum(2) if h.dim() > 2 else _wide(h).square()
        weight = self.weight if self.change is None else self.weight + _wide(self.change(embedding))
        return (of_channels * weight).sum(1)


class _Block(nn.Module):
    """h → skip(h) + conv(φ(film(conv(φ(h)), embedding))); without an embedding no film acts."""

    def __init__(self, n_in: int, n_out: int, stride: int, embedded: int | None, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.first = nn.Conv2d(n_in, n_out, 3, stride, 1)
        self.second = nn.Conv2d(n_out, n_out, 3, 1, 1)
        self.film = None if embedded is None else Film(embedded, n_out)
        self.skip = nn.Identity() if n_in == n_out and stride == 1 else nn.Conv2d(n_in, n_out, 1, stride)

    def forward(self, h: Tensor, embedding: Tensor | None) -> Tensor:
        inner = self.first(self.activation(h))
        if self.film is not None and embedding is not None:  # there is none while sizes are found
            inner = self.film(inner, embedding)
        return self.skip(h) + self.second(self.activation(inner))
