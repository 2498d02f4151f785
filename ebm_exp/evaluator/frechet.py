"""Fréchet distance between samples and data: both seen as Gaussians in a feature space.

d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)    (Dowson & Landau 1982; as FID: Heusel et al. 2017, Eq. 6)
"""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Unpack

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import DISTANCE, Evaluator, Kind, Model, Score, check_samples
from ebm_exp.evaluator.features import FeatureName, FeatureOptions, FeatureSpace, Split
from ebm_exp.types import PositiveInt, Provided

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance


class Frechet(Evaluator):
    """``frechet_<features>``: Fréchet distance of samples to data, in squared units of the features; 0 is best.

    In Inception's features it is the ``fid``. It looks at means and covariances alone: in pixels, a Gaussian fitted to
    the data scores near 0. Finite samples raise it, so compare numbers at the same ``n_samples`` and reference: that of
    d features wants more than d samples, and published FIDs are of 50,000. The reference's statistics are computed at
    the first use, and kept.

    Args:
        dataset: gives the reference points, clean.
        n_samples: how many samples are compared.
        features: ``pixels``, ``classifier`` or ``inception``: see ``FeatureSpace``. Numbers of a ``classifier`` are no
            FID: they compare with those of the same classifier alone.
        reference: the split that samples are compared with.
        options: see ``FeatureOptions``.

    Raises:
        ValueError: when fewer than two samples are asked for or the reference has fewer than two points, or the
            features cannot be had.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        features: FeatureName = "pixels",
        reference: Split = "train",
        **options: Unpack[FeatureOptions],
    ) -> None:
        self.space = FeatureSpace(features, dataset, **options)
        if n_samples < 2:
            raise ValueError(f"n_samples must be at least 2, got {n_samples}")
        if (n := self.space.size(reference)) < 2:
            raise ValueError(f"reference must hold at least 2 points, the {reference} split has {n}")
        self.dataset = dataset
        self.n_samples = n_samples
        self.reference = reference
        self.name = "fid" if features == "inception" else f"frechet_{features}"
        self._metric: FrechetInceptionDistance | None = None

    def gives(self) -> dict[str, Kind]:
        return {self.name: DISTANCE}

    @property
    def protocol(self) -> str:
        return f"{self.space.description}, {self.n_samples:,} samples against the {self.reference} split"

    def __call__(self, model: Model) -> dict[str, Score]:
        """``frechet_<features>`` or ``fid``; NaN when a sample is not finite.

        Raises:
            ValueError: when there are fewer than two samples or they are not of the data's shape.
        """
        samples = model.samples(self.n_samples).x
        check_samples(samples, self.dataset.event_shape)
        if not samples.isfinite().all():  # the eigenvalue routine would stop with an error of its own
            return {self.name: Score(nan, n=len(samples))}
        if self._metric is None:
            self._metric = self._with_reference()
        self._metric.reset()
        for block in samples.to(self.dataset.device).split(self.space.block):
            self._metric.update(block, real=False)
        return {self.name: Score(float(self._metric.compute()), n=len(samples))}

    def _with_reference(self) -> FrechetInceptionDistance:
        from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import

        metric = FrechetInceptionDistance(
            self.space.network,
            reset_real_features=False,
            normalize=True,  # features take floats as they are
            sync_on_compute=False,  # samples of this process alone are judged
        ).to(self.dataset.device)
        for x, _ in self.dataset.blocks(self.reference, self.space.block):
            metric.update(x, real=True)
        return metric
