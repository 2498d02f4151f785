"""Distributions of parameters: those of torchvision's transforms."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from ebm_exp.augmentation.parameters import draw_boxes, draw_flags, draw_jitter, draw_kernels
from ebm_exp.random import generator

CPU = torch.device("cpu")
N = 20_000


def distance(a: Tensor, b: Tensor) -> float:
    """Of two samples by Kolmogorov and Smirnov, in units of what one in 2,000 pairs of equal distributions exceeds."""
    nodes = torch.cat([a, b]).unique()
    cdf = [torch.searchsorted(x.sort()[0], nodes, right=True) / len(x) for x in (a, b)]
    return float((cdf[0] - cdf[1]).abs().max()) / (2.04 * math.sqrt(1 / len(a) + 1 / len(b)))


@pytest.mark.parametrize(
    ("size", "scale", "ratio"),
    [
        ((32, 32), (0.08, 1.0), (3 / 4, 4 / 3)),  # as published: one try in nine does not fit
        ((24, 40), (0.4, 1.0), (0.5, 1.0)),  # three boxes in ten are the last resort, as high as the image
    ],
)
def test_boxes_are_those_of_random_resized_crop(
    size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    torchvision = v2.RandomResizedCrop(size, scale, ratio)
    image = torch.zeros(1, *size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        params = [torchvision.make_params([image]) for _ in range(2000)]
    theirs = torch.tensor([[p[key] for key in ("top", "left", "height", "width")] for p in params]).double()
    ours = draw_boxes(N, generator("cpu", 0), CPU, size, scale, ratio).double()
    assert torch.equal(ours, ours.round())
    assert ours.min() >= 0
    assert ((ours[:, :2] + ours[:, 2:]) <= torch.tensor(size)).all()
    for name, of in {
        "area": lambda box: box[:, 2] * box[:, 3],
        "ratio": lambda box: box[:, 3] / box[:, 2],
        "top": lambda box: box[:, 0],
        "left": lambda box: box[:, 1],
        "below": lambda box: size[0] - box[:, 0] - box[:, 2],
        "right": lambda box: size[1] - box[:, 1] - box[:, 3],
    }.items():
        assert distance(of(ours), of(theirs)) < 1, name


@pytest.mark.parametrize("ratio", [(2.0, 3.0), (0.2, 0.3), (3.0, 40.0)])
def test_the_last_resort_is_central(ratio: tuple[float, float]) -> None:
    """No box of the whole area fits."""
    size = (12, 15)
    ours = draw_boxes(3, generator("cpu", 0), CPU, size, (1.0, 1.0), ratio)
    theirs = v2.RandomResizedCrop(size, (1.0, 1.0), ratio).make_params([torch.zeros(1, *size)])
    assert ours.tolist() == [[theirs[key] for key in ("top", "left", "height", "width")]] * 3


def test_flags() -> None:
    share = float(draw_flags(N, generator("cpu", 0), CPU, 0.3).double().mean())
    assert abs(share - 0.3) < 5 * math.sqrt(0.3 * 0.7 / N)


def test_changes_of_colour() -> None:
    drawn = draw_jitter(N, generator("cpu", 0), CPU, (0.4, 1.5, 0.0, 0.2), 0.8)
    amounts, places = drawn.double().unbind(1)
    unchanged = (amounts == torch.tensor([1.0, 1.0, 1.0, 0.0])).all(1)
    assert abs(int(unchanged.sum()) - 0.2 * N) < 5 * math.sqrt(N * 0.2 * 0.8)
    amounts = amounts[~unchanged]
    for k, (low, high) in {0: (0.6, 1.4), 1: (0.0, 2.5), 3: (-0.2, 0.2)}.items():
        assert low - 1e-6 <= amounts[:, k].min() < amounts[:, k].max() <= high + 1e-6
        assert distance(amounts[:, k], torch.linspace(low, high, N)) < 1
    assert (amounts[:, 2] == 1).all()
    order = (places.argsort(1) * torch.tensor([64, 16, 4, 1])).sum(1)
    counts = order.unique(return_counts=True)[1]
    assert len(counts) == 24  # all are as frequent
    assert float(((counts - N / 24).square() / (N / 24)).sum()) < 23 + 5 * math.sqrt(2 * 23)
    columns = torch.cat([amounts[:, [0, 1, 3]], places[~unchanged]], 1)
    assert float(torch.corrcoef(columns.T).triu(1).abs().max()) < 5 / math.sqrt(len(columns))


def test_kernels() -> None:
    """Their width follows from the ratio of two weights."""
    kernels = draw_kernels(N, generator("cpu", 0), CPU, 5, (0.5, 2.0), 0.5).double()
    torch.testing.assert_close(kernels.sum(1), torch.ones(N).double(), rtol=0, atol=1e-6)
    assert torch.equal(kernels, kernels.flip(1))
    blurred = kernels[:, 2] < 1
    assert (kernels[~blurred] == torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])).all()
    assert abs(int(blurred.sum()) - N / 2) < 5 * math.sqrt(N / 4)
    sigma = (2 * (kernels[blurred, 2] / kernels[blurred, 1]).log()).rsqrt()
    assert distance(sigma, torch.linspace(0.5, 2.0, N)) < 1
