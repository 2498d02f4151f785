"""Kernel inception distance: an unbiased distance of distributions in a feature space (Bińkowski et al. 2018, Sec. 4).

KID = E k(x, x′) + E k(y, y′) − 2 E k(x, y),  k(x, y) = (xᵀy/d + 1)³ on features of d components

as the mean over S subsets of m samples and m reference points each, drawn without replacement.
"""

import logging
import math
import warnings
from typing import Unpack

import torch
from torch import Tensor, nn

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import Score
from ebm_exp.evaluator.distance import Distance
from ebm_exp.evaluator.features import FeatureName, FeatureOptions, Split
from ebm_exp.random import seed_global
from ebm_exp.types import PositiveInt, Provided

_LOG = logging.getLogger(__name__)
SUBSET_SIZE = 1000  # as published, where there are so many
N_REFERENCE = 10_000  # at most so many points of the reference split, evenly spread over it


class KID(Distance):
    """``kid_<features>``: unbiased, so negative at times for samples of the data's own distribution; 0 is best.

    Being unbiased, it compares at other numbers of samples too, which a Fréchet distance does not. Its standard error
    follows from the variance s² between subsets, which share points and so lack what all have in common. For a
    statistic that is linear in the n points of the smaller set, s² = σ²(1/m − 1/n), while the mean over all subsets has
    the variance σ²/n: se² = s²(m/(n − m) + 1/S). Near 0 it is degenerate instead, and se errs on the high side.

    Args:
        dataset: gives the reference points, clean.
        n_samples: how many samples are compared.
        features: ``pixels``, ``classifier``, or a frozen network: see ``FeatureSpace``.
        reference: the split that samples are compared with, at most 10,000 points of it.
        subsets: S.
        subset_size: m; null: 1,000, or half of the smaller set. A larger one than that half is reduced to it.
        options: see ``FeatureOptions``.

    Raises:
        ValueError: when fewer than four samples are asked for or the reference has fewer than four points, or the
            features cannot be had.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        features: FeatureName = "pixels",
        reference: Split = "train",
        subsets: PositiveInt = 100,
        subset_size: PositiveInt | None = None,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dataset, n_samples, f"kid_{features}", features, reference, 4, options)
        if subsets < 2 or subset_size == 1:
            raise ValueError(f"subsets and subset_size must be at least 2, got {subsets} and {subset_size}")
        self.subsets = subsets
        self.n_reference = min(self.space.size(reference), N_REFERENCE)
        most = min(n_samples, self.n_reference) // 2
        if subset_size is not None and subset_size > most:
            smaller = f"{n_samples:,} samples, {self.n_reference:,} points of the {reference} split"
            _LOG.warning(
                "subset_size: %s instead of %s, half of the smaller set (%s)", f"{most:,}", f"{subset_size:,}", smaller
            )
        self.subset_size = min(subset_size or SUBSET_SIZE, most)
        self._reference: Tensor | None = None

    @property
    def protocol(self) -> str:
        return (
            f"{self.space.description}, cubic kernel, {self.subsets:,} subsets of {self.subset_size:,} of "
            f"{self.n_samples:,} samples against {self.n_reference:,} points of the {self.reference} split"
            f"{self.tell_floor()}"
        )

    def measure(self, samples: Tensor) -> Score:
        """The distance of points with these features ``[n, d]``; the same subsets each time.

        Raises:
            ValueError: when there are fewer than two subsets' worth of points.
        """
        from torchmetrics.image.kid import KernelInceptionDistance  # takes seconds to import

        n, m, size = min(len(samples), self.n_reference), self.subset_size, len(samples)
        if size < 2 * m:
            raise ValueError(f"n_samples: {size} samples are too few for subsets of {m}, twice as many are needed")
        if self._reference is None:
            self._reference = self.space.reference(self.reference, self.n_reference)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it keeps all features
            metric = KernelInceptionDistance(nn.Identity(), self.subsets, m, sync_on_compute=False)
        metric.update(self._reference, real=True)
        metric.update(samples, real=False)
        with seed_global("kid", 0), torch.no_grad():
            mean, std = (float(value) for value in metric.compute())
        between = std**2 * self.subsets / (self.subsets - 1)  # unbiased
        return Score(mean, math.sqrt(between * (m / (n - m) + 1 / self.subsets)), n=size)
