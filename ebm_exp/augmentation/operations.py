"""What an augmentation does to a batch of images at once, with parameters of each image's own.

x ``[n, channels, height, width]`` are levels: 0 is black, 1 is white. An image comes out as from
torchvision.transforms.v2.functional, which takes one image's parameters at a time. It does not depend on the rest of
the batch, not even in its last bit, so that ranks may share one: hence sums of pixels in a fixed order, and no
products of matrices, whose order a library chooses by the size of the batch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ebm_exp.types import per_point

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # columns of the parameters of ``change_colours``
_FIXED_POINT = 2.0**40  # what a level of 1 counts in whole numbers: of 2²⁰ pixels the sum fits in 63 bits


def crop(x: Tensor, boxes: Tensor) -> Tensor:
    """A box of each image, resized to the image's size, linear between the centres of pixels.

    A box is never larger than the image, so nothing has to be smoothed before.

    Args:
        x: images.
        boxes: ``[n, 4]`` top, left, height, width in whole pixels, inside of the image.
    """
    n, _, height, width = x.shape
    top, left, tall, wide = boxes.to(x.dtype).unsqueeze(-1).unbind(1)
    rows = _read_at(top, tall, height)[:, :, None].expand(n, height, width)
    columns = _read_at(left, wide, width)[:, None, :].expand(n, height, width)
    return functional.grid_sample(x, torch.stack([columns, rows], -1), padding_mode="border", align_corners=False)


def mirror(x: Tensor, mirrored: Tensor) -> Tensor:
    """Left and right change places where ``mirrored [n]`` is true."""
    return torch.where(per_point(mirrored, x), x.flip(-1), x)


def change_colours(x: Tensor, changes: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue change one after the other, in an order of each image's own.

    Args:
        x: images of 3 channels, or of 1, which have no saturation and no hue.
        changes: ``[n, 2, 4]``: factors ≥ 0 of the first three (1 leaves every bit as it was) and the turn of the hue
            (0 does), where 1 is the whole circle; then their places, the least of which comes first.
    """
    amounts, places = changes.to(x.dtype).unbind(1)
    # Every image turns its hue at the same time, for that costs most: other changes go before it or after it.
    others, kinds = places[:, :HUE].sort(1)
    early, factors = others < places[:, HUE:], amounts[:, :HUE].gather(1, kinds)
    x = _blend(x, kinds, torch.where(early, factors, 1.0))
    x = _turn_hue(x, amounts[:, HUE])
    return _blend(x, kinds, torch.where(early, 1.0, factors))


def drop_colours(x: Tensor, dropped: Tensor) -> Tensor:
    """Grey in all channels where ``dropped [n]`` is true."""
    return torch.where(per_point(dropped, x), _grey(x), x)


def blur(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolved along both axes with the image's kernel ``[n, odd side]``, symmetric; edges mirror the image."""
    side, middle = kernels.shape[1], kernels.shape[1] // 2
    weights = [per_point(weight, x) for weight in kernels.to(x.dtype).unbind(1)]
    for axis, margins in ((2, (0, 0, middle, middle)), (3, (middle, middle, 0, 0))):
        size = x.shape[axis]
        padded = functional.pad(x, margins, mode="reflect")
        x = x * weights[middle]
        for i in range(middle):
            pair = padded.narrow(axis, i, size) + padded.narrow(axis, side - 1 - i, size)
            x = x.add_(pair.mul_(weights[i]))
    return x


def _read_at(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where ``[n, size]`` a crop is read along an axis, in units of grid_sample: the image's edges are −1 and 1.

    Past the centres of its outermost pixels a crop stays as these are, whatever the image shows beside it.
    """
    centres = (torch.arange(size, dtype=start.dtype, device=start.device) + 0.5) * (length / size) - 0.5
    return (2 * (start + centres.clamp(min=0).minimum(length - 1)) + 1) / size - 1


def _grey(x: Tensor) -> Tensor:
    """The luminance ``[n, 1, height, width]`` of ITU-R BT.601, with torchvision's digits."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, 1)
    return (red * 0.2989).add_(green * 0.587).add_(blue * 0.114)


def _blend(x: Tensor, kinds: Tensor, factors: Tensor) -> Tensor:
    """Step for step away from what a change of its kind leads to at factor 0: black, the mean grey, the grey image.

    Args:
        x: images.
        kinds: ``[n, 3]`` which change each step is.
        factors: ``[n, 3]`` of each step.
    """
    for kind, factor in zip(kinds.unbind(1), factors.unbind(1), strict=True):
        grey = _grey(x)
        # How torch splits a sum depends on how many there are (one large image is shared out to all threads), but
        # whole numbers add up to the same however they are split.
        mean = (grey * _FIXED_POINT).to(torch.int64).sum((1, 2, 3)).to(x.dtype) / (_FIXED_POINT * grey[0].numel())
        to_grey, to_mean = (1 - factor) * (kind == SATURATION), (1 - factor) * (kind == CONTRAST) * mean
        end = (grey * per_point(to_grey, x)).add_(per_point(to_mean, x))
        x = (x * per_point(factor, x)).add_(end).clamp_(0, 1)
    return x


def _turn_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Hues turned by a share of the circle ``[n]``, at the same saturation and value (HSV)."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, 1)
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    safe = torch.where(chroma == 0, 1.0, chroma)  # greys have no hue, and need none
    hue = torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    hue = torch.where(value == red, (green - blue) / safe, hue)  # in sixths of the circle
    offsets = (5 - 2 * torch.arange(3, dtype=x.dtype, device=x.device)).view(1, 3, 1, 1)
    away = (hue + (6 * per_point(turns, x) + offsets)).remainder_(6).sub_(2).abs_()  # 0 opposite of a channel's hue
    # A channel is at the least value as far as one sixth from there, at the greatest beyond two, linear between.
    turned = away.sub_(2).clamp_(-1, 0).mul_(chroma).add_(value).clamp_(0, 1)
    return torch.where(per_point(turns == 0, x), x, turned)
