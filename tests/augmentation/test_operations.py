"""Each operation on a batch against torchvision's on one image after the other, with the same parameters."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from ebm_exp.augmentation.operations import blur, change_colours, crop, drop_colours, mirror
from ebm_exp.random import generator

SIZES = [(16, 12), (5, 7), (1, 9)]
G = "operations"


def images(n: int, channels: int = 3, height: int = 16, width: int = 12) -> Tensor:
    """Of all levels; some pixels are grey, black, white, or have two channels alike."""
    x = torch.rand(n, channels, height, width, generator=generator("cpu", G))
    for i, level in enumerate((0.0, 1.0, 0.3)):
        x[:, :, 0, i] = level
    x[:, 0, 0, 3:5] = x[:, -1, 0, 3:5]
    x[:, 1:, 0, 5] = x[:, 0:1, 0, 5]
    return x


def one_by_one(x: Tensor, change: Callable[[Tensor, int], Tensor]) -> Tensor:
    return torch.stack([change(image, i) for i, image in enumerate(x)])


def assert_close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_crop(height: int, width: int) -> None:
    """All boxes of a small image, with and without each of its edges."""
    spans = [[(i, k) for k in range(1, size + 1) for i in range(size - k + 1)] for size in (height, width)]
    boxes = [(top, left, tall, wide) for (top, tall), (left, wide) in itertools.product(*spans)][:: height * width // 9]
    x = images(len(boxes), 2, height, width)
    wanted = one_by_one(x, lambda image, i: functional.resized_crop(image, *boxes[i], [height, width], antialias=True))
    assert_close(crop(x, torch.tensor(boxes, dtype=torch.float32)), wanted)


def test_a_crop_of_a_large_image() -> None:
    x = images(2, 1, 128, 96)
    box = torch.tensor([[13.0, 5.0, 77.0, 91.0], [0.0, 0.0, 1.0, 1.0]])
    wanted = one_by_one(x, lambda image, i: functional.resized_crop(image, *box[i].int().tolist(), [128, 96]))
    assert_close(crop(x, box), wanted)


def test_mirror_and_grey() -> None:
    x, flags = images(4), torch.tensor([True, False, False, True])
    assert torch.equal(mirror(x, flags), torch.where(flags.view(4, 1, 1, 1), functional.horizontal_flip(x), x))
    wanted = functional.rgb_to_grayscale(x, num_output_channels=3)
    grey = drop_colours(x, flags)
    assert_close(grey, torch.where(flags.view(4, 1, 1, 1), wanted, x))
    assert torch.equal(grey[1:3], x[1:3])


CHANGES = (
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_colours_in_every_order(channels: int, dtype: torch.dtype) -> None:
    orders = list(itertools.permutations(range(4)))
    x = images(len(orders), channels).to(dtype)
    u = torch.rand(len(orders), 4, generator=generator("cpu", "factors"))
    amounts = torch.cat([1.8 * u[:, :3], u[:, 3:] - 0.5], 1)

    def change(image: Tensor, i: int) -> Tensor:
        for k in orders[i]:
            image = CHANGES[k](image, float(amounts[i, k]))
        return image

    places = torch.tensor(orders).argsort(1)
    assert_close(change_colours(x, torch.stack([amounts, places], 1)), one_by_one(x, change))


@pytest.mark.parametrize("k", range(4))
def test_one_colour_change_alone(k: int) -> None:
    """The ends of its range among others; a neutral one changes no bit."""
    values = [0.0, 0.3, 1.0, 1.8] if k < 3 else [-0.5, -0.1, 0.0, 0.5]
    x = images(4)
    amounts = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).repeat(4, 1)
    amounts[:, k] = torch.tensor(values)
    found = change_colours(x, torch.stack([amounts, torch.arange(4.0).expand(4, 4)], 1))
    assert_close(found, one_by_one(x, lambda image, i: CHANGES[k](image, values[i])))
    neutral = values.index(1.0 if k < 3 else 0.0)
    assert torch.equal(found[neutral], x[neutral])


@pytest.mark.parametrize("side", [1, 3, 11])
def test_blur(side: int) -> None:
    sigmas = [0.1, 0.7, 2.0]
    offsets = torch.arange(side) - side // 2
    kernels = torch.stack([(-offsets.square() / (2 * sigma**2)).softmax(0) for sigma in sigmas])
    x = images(3)
    wanted = one_by_one(x, lambda image, i: functional.gaussian_blur(image, [side, side], [sigmas[i]] * 2))
    assert_close(blur(x, kernels), wanted)
