"""The random parameters of a batch's augmentation, a row per image, as torchvision.transforms.v2 draws one image's.

``draw_…(n, generator, device, …)`` computes them from uniform numbers on the device, and waits for nothing.
"""

import math

import torch
from torch import Tensor

_TRIES = 10  # at a crop that fits into the image


def draw_flags(n: int, generator: torch.Generator, device: torch.device, probability: float) -> Tensor:
    """Booleans ``[n]``, each true with a probability."""
    return torch.rand(n, generator=generator, device=device) < probability


def draw_boxes(
    n: int,
    generator: torch.Generator,
    device: torch.device,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Tensor:
    """Boxes ``[n, 4]`` (top, left, height, width) in whole pixels, those of RandomResizedCrop.

    Of ten boxes whose area is uniform and whose log width / height is uniform, the first that fits into the image is
    put anywhere in it. Where none fits it is the largest central one of a ratio within the ends.

    Args:
        n: number of boxes.
        generator: of uniform numbers.
        device: where the boxes are wanted.
        size: height and width of the image.
        scale: least and greatest share of its area.
        ratio: least and greatest width / height.
    """
    height, width = size
    u = torch.rand((n, 2 * _TRIES + 2), generator=generator, device=device)
    areas = height * width * (scale[0] + (scale[1] - scale[0]) * u[:, :_TRIES])
    ends = math.log(ratio[0]), math.log(ratio[1])
    ratios = (ends[0] + (ends[1] - ends[0]) * u[:, _TRIES:-2]).exp()
    # The last resort, which fits, stands at the end.
    last = max(1, min(height, round(width / ratio[0]))), max(1, min(width, round(height * ratio[1])))
    tall = torch.cat([(areas / ratios).sqrt().round(), u.new_full((n, 1), last[0])], 1)
    wide = torch.cat([(areas * ratios).sqrt().round(), u.new_full((n, 1), last[1])], 1)
    fits = (tall >= 1) & (tall <= height) & (wide >= 1) & (wide <= width)
    first = fits.int().argmax(1, keepdim=True)
    tall, wide = tall.gather(1, first), wide.gather(1, first)
    room = torch.cat([height - tall, width - wide], 1)
    corner = torch.where(first == _TRIES, room / 2, u[:, -2:] * (room + 1)).floor()
    return torch.cat([corner, tall, wide], 1)


def draw_jitter(
    n: int,
    generator: torch.Generator,
    device: torch.device,
    amounts: tuple[float, float, float, float],
    probability: float,
) -> Tensor:
    """What ``operations.change_colours`` is to do, ``[n, 2, 4]``, as ColorJitter within RandomApply does.

    Args:
        n: number of images.
        generator: of uniform numbers.
        device: where they are wanted.
        amounts: greatest change of brightness, contrast, saturation (factors 1 ± amount, not below 0) and hue.
        probability: of any change.
    """
    u = torch.rand((n, 9), generator=generator, device=device)
    changed = u[:, 8] < probability
    ends = [(1.0, max(0.0, 1 - amount), 1 + amount) for amount in amounts[:3]]
    ends.append((0.0, -amounts[3], amounts[3]))
    columns = [
        torch.where(changed, low + (high - low) * u[:, i], unchanged) for i, (unchanged, low, high) in enumerate(ends)
    ]
    return torch.stack([torch.stack(columns, 1), u[:, 4:8]], 1)


def draw_kernels(
    n: int,
    generator: torch.Generator,
    device: torch.device,
    side: int,
    sigma: tuple[float, float],
    probability: float,
) -> Tensor:
    """Gaussian kernels ``[n, side]`` that sum to 1, those of GaussianBlur within RandomApply.

    Args:
        n: number of kernels.
        generator: of uniform numbers.
        device: where they are wanted.
        side: pixels, odd.
        sigma: least and greatest standard deviation in pixels, between which it is uniform.
        probability: of blurring; other kernels leave an image as it is.
    """
    u = torch.rand((n, 2), generator=generator, device=device)
    sigmas = sigma[0] + (sigma[1] - sigma[0]) * u[:, :1]
    offsets = torch.arange(side, device=device) - side // 2
    kernels = ((offsets / sigmas).square() / -2).softmax(1)
    return torch.where(u[:, 1:] < probability, kernels, (offsets == 0).to(kernels.dtype))
