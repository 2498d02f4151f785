"""The convolutions of networks, in forms that every processor can differentiate.

A strided convolution of one pixel is not left to the library. In oneDNN the gradient to its weights writes past its
memory, where the stride divides the image's side: with fewer than 8 channels on processors with AVX2 alone, with fewer
than 16 and sides from about 56 pixels on those with AVX-512. The process dies of that, then or later. Nor is a stride
beyond the image's side: in bf16 on processors with AVX-512 that gradient is then memory that nobody has written. There
the output is one pixel, of one window, and no stride is needed.
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
            return self._convolve(input)
        padded = pad(input, (self.zeros,) * 4) if self.zeros else input
        # Each stride-th pixel. Not by a slice: its gradient is not channels last, and slows the layers below.
        return conv2d(avg_pool2d(padded, 1, self.gap), self.weight, self.bias)

    def _convolve(self, input: Tensor) -> Tensor:
        sides, kernel, stride = input.shape[-2:], self.kernel_size[0], self.stride[0]
        is_small = [side < stride and 0 <= side + 2 * self.zeros - kernel < stride for side in sides]
        if not any(is_small):
            return super().forward(input)
        ends = zip(sides, is_small, strict=True)
        below, right = (kernel - self.zeros - side if small else self.zeros for side, small in ends)
        window = pad(input, (self.zeros, right, self.zeros, below))
        return conv2d(window, self.weight, self.bias, [1 if small else stride for small in is_small])


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
        is_small = [side < self.stride[0] and n == 1 for side, n in zip(output_size, input.shape[-2:], strict=True)]
        if self.gap == 1 and not any(is_small):
            return super().forward(input, [height, width])
        weight = pad(self.weight, (0, self.gap - 1) * 2)  # zeros on the pixels between
        if not any(is_small):
            whole = conv_transpose2d(input, weight, self.bias, self.gap)
            return whole[..., self.zeros : self.zeros + height, self.zeros : self.zeros + width]
        whole = conv_transpose2d(input, weight, None, [1 if small else self.stride[0] for small in is_small])
        below, right = height + self.zeros - whole.shape[-2], width + self.zeros - whole.shape[-1]
        cut = pad(whole, (-self.zeros, right, -self.zeros, below))  # zeros where no output reaches
        return cut if self.bias is None else cut + self.bias[:, None, None]
