"""Smooth random patterns of any shape and class count: something to run on when nothing else is there."""

import math

import torch
from torch.nn.functional import interpolate

from ebm_exp import memory
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.random import generator
from ebm_exp.types import NonNegative, PositiveInt, Provided


class Synthetic(Dataset):
    """Each class is a coarse random pattern; a point is its class's pattern plus a little of another one.

    Args:
        name: the run directory's name.
        device: where the tensors live.
        shape: event shape: ``[channels, height, width]`` or any other.
        classes: number of classes.
        n_train, n_test: number of points.
        noise_std: data noise, in units of the value range.
        value_range: the domain of every component.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        seed: Provided[int],
        shape: tuple[PositiveInt, ...] = (1, 8, 8),
        classes: PositiveInt = 10,
        n_train: PositiveInt = 2048,
        n_test: PositiveInt = 512,
        noise_std: NonNegative = 0.05,
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        memory.refuse("n_train", 3 * (n_train + n_test) * math.prod(shape) * 4)  # points, patterns, their sum
        g = generator("cpu", "dataset", "synthetic", seed)
        patterns, others = (self._patterns(n, shape, g) for n in (classes, n_train + n_test))
        y = torch.randint(classes, (n_train + n_test,), generator=g)
        low, high = value_range
        x = (0.8 * patterns[y] + 0.2 * others).clamp(0, 1) * (high - low) + low
        super().__init__(
            name=name,
            domain=Domain(low, high, tuple(shape)),
            train=x[:n_train],
            test=x[n_train:],
            train_labels=y[:n_train],
            test_labels=y[n_train:],
            n_classes=classes,
            noise_std=noise_std,
            device=device,
        )

    @staticmethod
    def _patterns(n: int, shape: tuple[int, ...], g: torch.Generator) -> torch.Tensor:
        if len(shape) != 3:
            return torch.rand(n, *shape, generator=g)
        coarse = torch.rand(n, shape[0], 3, 3, generator=g)
        return interpolate(coarse, size=shape[1:], mode="bilinear", align_corners=True)
