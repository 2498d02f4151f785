"""A wide residual network (Zagoruyko & Komodakis 2016, arXiv 1605.07146) as a joint energy, as in JEM.

base: a convolution, stages of residual blocks with the activation before each convolution, mean over space, a linear
layer to the classes. No batch norm: it would couple the chains of a batch. WRN-28-10 of JEM (wgrathwohl/JEM) has
channels (160, 320, 640), strides (1, 2, 2), 4 blocks, leaky ReLU 0.2, no norms and a first convolution of 16 channels.
"""

from torch import Tensor, nn

from ebm_exp.energy.convolution import Convolution
from ebm_exp.energy.joint import Joint
from ebm_exp.energy.residual import Block, check_stages
from ebm_exp.precision import wide
from ebm_exp.types import Batch, EventShape, NClasses, NonNegativeInt, PositiveInt


class WideResNet(Joint):
    """Class scores of images.

    Args:
        event_shape: ``(channels, height, width)`` of an image.
        channels: of each stage.
        strides: of each stage: 2 halves the image.
        blocks: residual blocks per stage.
        stem_channels: of the first convolution; None: as the first stage.
        stem_kernel, stem_stride, stem_padding: of the first convolution; with a stride, chains cost a fraction.
        n_groups: of group norms before each activation (Wu & He 2018); None: no norms.
        activation: JEM's is leaky ReLU 0.2.
        n_classes: number of classes of the data.

    Raises:
        ValueError: when points are no images, stages and strides differ in number, channels are no multiples of
            n_groups, or the data has no labels.
    """

    def __init__(
        self,
        event_shape: EventShape,
        channels: tuple[PositiveInt, ...] = (32, 64, 128),
        strides: tuple[PositiveInt, ...] = (1, 2, 2),
        blocks: PositiveInt = 1,
        stem_channels: PositiveInt | None = None,
        stem_kernel: PositiveInt = 3,
        stem_stride: PositiveInt = 1,
        stem_padding: NonNegativeInt = 1,
        n_groups: PositiveInt | None = None,
        activation: nn.Module | None = None,
        n_classes: NClasses = 0,
    ) -> None:
        check_stages("wide_resnet", event_shape, channels, strides)
        super().__init__(n_classes)
        first = channels[0] if stem_channels is None else stem_channels
        if n_groups is not None and any(n % n_groups for n in (first, *channels)):
            raise ValueError(f"n_groups: must divide all channels, {[first, *channels]}, got {n_groups}")
        self.activation = nn.SiLU() if activation is None else activation
        self.stem = Convolution(event_shape[0], first, stem_kernel, stem_stride, stem_padding)
        self.blocks, n_in = nn.ModuleList(), first
        for n_out, stride in zip(channels, strides, strict=True):
            for i in range(blocks):
                block = Block(n_in, n_out, stride if i == 0 else 1, None, self.activation, n_groups)
                self.blocks.append(block)
                n_in = n_out
        self.norm = nn.Identity() if n_groups is None else nn.GroupNorm(n_groups, n_in)
        self.head = nn.Linear(n_in, n_classes)

    def logits(self, x: Batch) -> Tensor:
        h = self.stem(x)
        for block in self.blocks:
            h = block(h, None)
        return wide(self.head(self.activation(self.norm(h)).mean((2, 3))))
