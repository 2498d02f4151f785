"""The residual network of Du & Mordatch 2019 (their ResNet32): h ← φ(↓(skip(h) + W₂ φ(W₁ h))).

base: a 3×3 convolution, then blocks 128↓ 128 256↓ 256 256↓ 256, pooled over space, a linear unit: 5.05 million
parameters on RGB images. ↓ averages 2×2 pixels. Spectral normalisation is a matter of ``regularization=``; with its
bounded form W₂ can start near zero (std 1e-10), so that a block begins as its skip path. The plain form W/σ blows that
start up to norm one: it then only picks a direction.

Where their code (openai/ebm_code_release) differs: its skip convolutions are 3×3 (``skip_kernel=3``: 5,314,817
parameters; it uses 5,315,841), a gain stands on W₂ also without classes, its biases come before the convolutions, and
most of its models put one more ReLU before pooling. Its CIFAR-10 recipe without classes is ``igebm_large`` with dropout
0.5, that with classes this network, that of ImageNet 32×32 ``igebm_wide``.

rosinality/igebm-pytorch is this network with ``skip="halving"`` and classes, 5,183,233 parameters at ten of them, and
one more ReLU before pooling.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ebm_exp.energy.base import Energy
from ebm_exp.energy.conditional import ClassAffine
from ebm_exp.energy.convolution import Convolution
from ebm_exp.precision import wide
from ebm_exp.types import Batch, EventShape, NClasses, PerSample, PositiveInt, Probability


class IGEBM(Energy):
    """A residual energy for images.

    Args:
        event_shape: ``(channels, height, width)`` of an image; each stage halves it.
        channels: width of each stage; the first is the stem's too.
        blocks: residual blocks per stage; the first of a stage halves the image.
        pool: ``sum`` (published) or ``mean`` over space.
        skip: where the skip path is a convolution: ``width``, where the width changes (published), or ``halving``,
            also in each block that halves the image.
        skip_kernel: of those convolutions.
        stem_stride: of the first convolution (published: 1); with 2, chains cost a quarter.
        activation: φ; published: leaky ReLU 0.2, swish for 128×128 models.
        dropout: inside blocks, while training weights; never inside a chain.
        conditional: take labels y ``[batch]``, see ``ClassAffine``, whose biases replace those of the blocks.
        n_classes: number of classes of the data.

    Raises:
        ValueError: when points are no images or too small to be halved so often, channels is empty, or there are no
            labels to condition on.
    """

    def __init__(
        self,
        event_shape: EventShape,
        channels: tuple[PositiveInt, ...] = (128, 256, 256),
        blocks: PositiveInt = 2,
        pool: Literal["sum", "mean"] = "sum",
        skip: Literal["width", "halving"] = "width",
        skip_kernel: Literal[1, 3] = 1,
        stem_stride: PositiveInt = 1,
        activation: nn.Module | None = None,
        dropout: Probability = 0.0,
        conditional: bool = False,
        n_classes: NClasses = 0,
    ) -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ValueError(
                f"igebm needs images [channels, height, width], the data set has points of shape {[*event_shape]}"
            )
        if not channels:
            raise ValueError("channels: needs at least one stage")
        side = (min(event_shape[1:]) - 1) // stem_stride + 1
        if side < 2 ** len(channels):
            most = side.bit_length() - 1
            raise ValueError(
                f"channels: must be at most {most} widths, got {len(channels)}: each stage halves images of "
                f"{event_shape[1]}×{event_shape[2]}"
            )
        self.context = ("y",) if conditional else ()
        self.activation = nn.LeakyReLU(0.2) if activation is None else activation
        self.pool = pool
        self.stem = Convolution(event_shape[0], channels[0], 3, stem_stride, padding=1)
        widths = [width for width in channels for _ in range(blocks)]
        self.blocks = nn.ModuleList()
        for i, (n_in, n_out) in enumerate(pairwise([channels[0], *widths])):
            halve = i % blocks == 0
            learned_skip = n_in != n_out or (halve and skip == "halving")
            kernel = skip_kernel if learned_skip else None
            classes = n_classes if conditional else None
            self.blocks.append(_Block(n_in, n_out, halve, kernel, self.activation, dropout, classes))
        self.head = nn.Linear(widths[-1], 1)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        h = self.activation(self.stem(x))
        for block in self.blocks:
            h = block(h, context.get("y"))
        h = h.flatten(2)
        return wide(self.head(h.sum(2) if self.pool == "sum" else h.mean(2)).squeeze(1))


class _Block(nn.Module):
    def __init__(
        self,
        n_in: int,
        n_out: int,
        halve: bool,
        skip_kernel: int | None,
        activation: nn.Module,
        dropout: float,
        n_classes: int | None,
    ) -> None:
        super().__init__()
        self.halve, self.activation = halve, activation
        self.first = Convolution(n_in, n_out, 3, padding=1, bias=n_classes is None)
        self.second = Convolution(n_out, n_out, 3, padding=1, bias=n_classes is None)
        for parameter in self.second.parameters():
            nn.init.normal_(parameter, std=1e-10)
        self.skip: nn.Module = nn.Identity()
        if skip_kernel is not None:
            self.skip = Convolution(n_in, n_out, skip_kernel, padding=skip_kernel // 2, bias=False)
        self.dropout = nn.Dropout(dropout)
        affines = [] if n_classes is None else [ClassAffine(n_classes, n_out) for _ in range(2)]
        self.affines = nn.ModuleList(affines)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        h = self.first(x)
        h = self.affines[0](h, y) if self.affines else h
        h = self.second(self.dropout(self.activation(h)))
        h = self.affines[1](h, y) if self.affines else h
        h = self.skip(x) + h
        return self.activation(avg_pool2d(h, 2) if self.halve else h)
