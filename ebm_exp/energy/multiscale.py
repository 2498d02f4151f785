"""The multi-scale energy of Du et al. 2021 (arXiv 2012.01316): E(x) = Σᵢ Eᵢ(↓ⁱx), a sum of towers.

↓ averages 3×3 pixels with stride 2. Tower i reads the image after i of them and leaves away the last i stages, so
that all towers end at one resolution. A tower is a 3×3 convolution, its stages, one more φ, the mean over space and a
linear unit. A stage applies its blocks and then widens:

    h ← h + φ(norm(W₂ φ(norm(W₁ h))))        W₁, W₂ standardised, see ``_Standardised``
    h ← φ(↓(W h))

norm is instance normalisation up to 128 channels, group normalisation with 32 groups above. The tower of the whole
image attends to all its pixels once: h ← h + γ V softmax(QᵀK), γ zero at first.

The defaults have 6,561,620 parameters on RGB images. The published network's 6,643,044 are these, 2,576 biases that
instance normalisation or the softmax cancels, and 78,848 of class maps, which it builds also without classes.
``multiscale_large`` (26,456,772) is their network for 128×128, whose two lower towers begin with 128 channels where
ours begin with 64.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.nn.utils import parametrize

from ebm_exp.energy.base import Energy
from ebm_exp.energy.conditional import ClassAffine
from ebm_exp.energy.convolution import Convolution
from ebm_exp.precision import full_precision, wide
from ebm_exp.types import Batch, EventShape, NClasses, PerSample, PositiveInt

_INSTANCE_NORM_UP_TO, _GROUPS = 128, 32


class MultiScale(Energy):
    """A sum of residual energies of an image and of its reductions.

    Args:
        event_shape: ``(channels, height, width)`` of an image.
        channels: width of the first convolution, then what each stage widens to; each stage halves the image.
        blocks: residual blocks per stage: one number, or one per stage.
        n_scales: towers: the whole image, its half, its quarter, …
        attention_after: the stage (from 1) of the first tower that self-attention follows; None: nowhere.
        stem_stride: of each tower's first convolution (published: 1); with 2, chains cost a quarter.
        activation: φ.
        conditional: take labels y ``[batch]``, see ``ClassAffine``.
        n_classes: number of classes of the data.

    Raises:
        ValueError: when points are no images or too small for so many stages, the numbers of stages, blocks, scales
            and attention do not fit together, a width cannot be normalised or attended to, or there are no labels to
            condition on.
    """

    def __init__(
        self,
        event_shape: EventShape,
        channels: tuple[PositiveInt, ...] = (64, 64, 128, 256, 512),
        blocks: PositiveInt | tuple[PositiveInt, ...] = 2,
        n_scales: PositiveInt = 3,
        attention_after: PositiveInt | None = 2,
        stem_stride: PositiveInt = 1,
        activation: nn.Module | None = None,
        conditional: bool = False,
        n_classes: NClasses = 0,
    ) -> None:
        super().__init__()
        if len(event_shape) != 3:
            raise ValueError(
                f"multiscale needs images [channels, height, width], the data set has points of shape {[*event_shape]}"
            )
        if len(channels) < 2:
            raise ValueError("channels: needs at least two widths, the first convolution's and one stage's")
        n_stages = len(channels) - 1
        # Halvings round up, so every tower's last stage sees as many pixels.
        most = ((max(event_shape[1:]) - 1) // stem_stride).bit_length()
        if n_stages > most:
            raise ValueError(
                f"channels: must be at most {most + 1} widths, got {len(channels)}: each stage halves images of "
                f"{event_shape[1]}×{event_shape[2]}, and normalisation needs more than one pixel"
            )
        per_stage = (blocks,) * n_stages if isinstance(blocks, int) else tuple(blocks)
        if len(per_stage) != n_stages:
            raise ValueError(
                f"blocks: must be one number, or one for each of the {n_stages} stages, got {len(per_stage)}"
            )
        if n_scales > n_stages:
            raise ValueError(
                f"n_scales: must be at most {n_stages}, the stages (one less than channels), got {n_scales}"
            )
        for width in channels[:-1]:
            if width > _INSTANCE_NORM_UP_TO and width % _GROUPS:
                raise ValueError(
                    f"channels: a width over {_INSTANCE_NORM_UP_TO} must be a multiple of {_GROUPS}, got {width}"
                )
        if attention_after is not None:
            if attention_after > n_stages:
                raise ValueError(f"attention_after: must be from 1 to {n_stages} or null, got {attention_after}")
            if channels[attention_after] < 8:
                raise ValueError(
                    f"attention_after: must be a stage that gives at least 8 channels, stage {attention_after} gives "
                    f"{channels[attention_after]}"
                )
        self.context = ("y",) if conditional else ()
        self.activation = nn.SiLU() if activation is None else activation
        classes = n_classes if conditional else None
        self.towers = nn.ModuleList(
            _Tower(
                (event_shape[0], *channels[: len(channels) - i]),
                per_stage,
                attention_after if i == 0 else None,
                stem_stride,
                self.activation,
                classes,
            )
            for i in range(n_scales)
        )

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        first, *others = self.towers
        e = wide(first(x, context.get("y")))
        for tower in others:
            x = avg_pool2d(x, 3, stride=2, padding=1)
            e = e + wide(tower(x, context.get("y")))
        return e


class _Tower(nn.Module):
    def __init__(
        self,
        channels: tuple[int, ...],
        blocks: tuple[int, ...],
        attention_after: int | None,
        stem_stride: int,
        activation: nn.Module,
        n_classes: int | None,
    ) -> None:
        super().__init__()
        image, stem, *_ = channels
        layers: list[nn.Module] = [Convolution(image, stem, 3, stem_stride, padding=1), activation]
        for k, (n_in, n_out) in enumerate(pairwise(channels[1:])):
            layers += [_Block(n_in, activation, n_classes) for _ in range(blocks[k])]
            layers += [Convolution(n_in, n_out, 3, padding=1), nn.AvgPool2d(3, stride=2, padding=1), activation]
            if k + 1 == attention_after:
                layers.append(_Attention(n_out))
        self.layers = nn.ModuleList([*layers, activation])
        self.head = nn.Linear(channels[-1], 1)

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        for layer in self.layers:
            h = layer(h, y) if isinstance(layer, _Block) else layer(h)
        return self.head(h.mean((2, 3))).squeeze(1)


class _Block(nn.Module):
    def __init__(self, width: int, activation: nn.Module, n_classes: int | None) -> None:
        super().__init__()
        self.activation = activation
        instance = width <= _INSTANCE_NORM_UP_TO  # which cancels a bias
        self.convs = nn.ModuleList(Convolution(width, width, 3, padding=1, bias=not instance) for _ in range(2))
        for conv in self.convs:
            parametrize.register_parametrization(conv, "weight", _Standardised())
        self.norms = nn.ModuleList(
            nn.InstanceNorm2d(width, affine=True) if instance else nn.GroupNorm(_GROUPS, width) for _ in range(2)
        )
        self.affines = nn.ModuleList([] if n_classes is None else [ClassAffine(n_classes, width) for _ in range(2)])

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        h = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            h = norm(conv(h))
            h = self.affines[i](h, y) if self.affines else h
            h = self.activation(h)
        return x + h


class _Standardised(nn.Module):
    """Weights of mean 0 and (unbiased) standard deviation 1 for each output channel (Qiao et al. 2019)."""

    def forward(self, weight: Tensor) -> Tensor:
        with full_precision(weight.device):
            std, mean = torch.std_mean(weight, dim=(1, 2, 3), keepdim=True)
            return (weight - mean) / (std + 1e-5)


class _Attention(nn.Module):
    """Self-attention of Zhang et al. 2019 (SAGAN), unscaled; fused kernels cannot be differentiated twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = Convolution(width, width // 8, 1)
        self.key = Convolution(width, width // 8, 1, bias=False)  # the softmax cancels one
        self.value = Convolution(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = (conv(h).flatten(2) for conv in (self.query, self.key, self.value))  # [batch, channels, pixels]
        weights = (q.transpose(1, 2) @ k).softmax(2)  # [batch, pixels, pixels]: each pixel's over all
        return h + self.gamma * (v @ weights.transpose(1, 2)).unflatten(2, h.shape[2:])
