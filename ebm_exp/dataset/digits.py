"""Handwritten digits of 8×8 pixels in 17 grey levels: the data set that comes with scikit-learn."""

import functools
from importlib.metadata import distribution
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.options import ImageOptions
from ebm_exp.random import generator
from ebm_exp.types import NonNegative, Probability, Provided


class Digits(Dataset):
    """The 1,797 digits of the UCI test set (Alpaydin & Kaynak 1998), ``[1, 8, 8]``, ten classes.

    Args:
        name: the run directory's name.
        device: where the tensors live.
        test_share: held out of training, by a split that is the same for every seed; with 0 all digits are trained on
            and stand in for the test set too.
        noise_std: data noise, in units of the value range.
        value_range: what black and white become.
        options: see ``ImageOptions``.
    """

    def __init__(
        self,
        name: str,
        device: Provided[torch.device],
        test_share: Probability = 0.1,
        noise_std: NonNegative = 0.05,
        value_range: tuple[float, float] = (-1.0, 1.0),
        **options: Unpack[ImageOptions],
    ) -> None:
        x, y = load()
        order = torch.randperm(len(x), generator=generator("cpu", "dataset", "digits", "split"))
        n_test = round(test_share * len(x))
        train = x[order[n_test:]]
        super().__init__(
            name=name,
            domain=Domain(value_range[0], value_range[1], (1, 8, 8)),
            train=train,
            test=x[order[:n_test]] if n_test else train,
            train_labels=y[order[n_test:]],
            test_labels=y[order[:n_test]] if n_test else y[order],
            n_levels=17,
            n_classes=10,
            noise_std=noise_std,
            device=device,
            **options,
        )


@functools.cache  # a sweep's jobs read it once
def load() -> tuple[Tensor, Tensor]:
    """Grey levels ``[1797, 1, 8, 8]``, uint8 from 0 to 16, and labels ``[1797]``."""
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")  # its import takes a second
    rows = torch.from_numpy(np.loadtxt(str(file), delimiter=",", dtype=np.uint8))
    return rows[:, :64].contiguous().view(-1, 1, 8, 8), rows[:, 64].long()
