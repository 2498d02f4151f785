"""The convolutions of networks, in forms that every processor can differentiate.

A strided convolution of one pixel is not left to the library. In oneDNN the gradient to its weights writes past its
memory, where the stride divides the image's side: with fewer than 8 channels on processors with AVX2 alone, with fewer
than 16 and sides from about 56 pixels on those with AVX-512. The process dies of that, then or later.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, pad


class Convolution(nn.Conv2d):
    """A convolution of images: ``[batch, n_in, height, width]`` → ``[batch, n_out, …]``.

    Args:
        n_in, n_out: channels.
        kernel: its side in pixels.
        stride: from one output to the next, in pixels.
        padding: zeros around the image.
        bias: add a number to each channel.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = True
    ) -> None:
        super().__init__(n_in, n_out, kernel, stride, padding, bias=bias)
        self.gap, self.zeros = stride if kernel == 1 else 1, padding

    def forward(self, input: Tensor) -> Tensor:
        if self.gap == 1:
            return super().forward(input)
        padded = pad(input, (self.zeros,) * 4) if self.zeros else input
        # Each stride-th pixel. Not by a slice: its gradient is not channels last, and slows the layers below.
        return conv2d(avg_pool2d(padded, 1, self.gap), self.weight, self.bias)


class Transposed(nn.ConvTranspose2d):
    """The convolution the other way: ``[batch, n_in, …]`` → ``[batch, n_out, height, width]``.

    Args:
        n_in, n_out: channels.
        kernel, stride, padding: as of ``Convolution``.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(n_in, n_out, kernel, stride, padding)
        self.gap, self.zeros = stride if kernel == 1 else 1, padding

    def forward(self, input: Tensor, output_size: Sequence[int]) -> Tensor:
        """To ``[height, width]``, one of the sizes that the convolution takes to the input's."""
        height, width = output_size
        if self.gap == 1:
            return super().forward(input, [height, width])
        weight = pad(self.weight, (0, self.gap - 1) * 2)  # zeros on the pixels between
        whole = conv_transpose2d(input, weight, self.bias, self.gap)
        return whole[..., self.zeros : self.zeros + height, self.zeros : self.zeros + width]
