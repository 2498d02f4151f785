"""Fréchet distance between samples and data: both seen as Gaussians in a feature space.

d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)    (Dowson & Landau 1982; as FID: Heusel et al. 2017, Eq. 6)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from torch import Tensor, nn

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import Score
from ebm_exp.evaluator.distance import Distance
from ebm_exp.evaluator.features import FeatureName, FeatureOptions, Split
from ebm_exp.types import PositiveInt, Provided

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance


class Frechet(Distance):
    """``frechet_<features>``: Fréchet distance of samples to data, in squared units of the features; 0 is best.

    In Inception's features it is the ``fid``. It looks at means and covariances alone: in pixels, a Gaussian fitted to
    the data scores near 0. Finite samples raise it, so compare numbers at the same ``n_samples`` and reference: that of
    d features wants more than d samples, and published FIDs are of 50,000. The reference's statistics are computed at
    the first use, and kept.

    Args:
        dataset: gives the reference points, clean.
        n_samples: how many samples are compared.
        features: ``pixels``, ``classifier``, ``inception`` or another frozen network: see ``FeatureSpace``. None but
            Inception's numbers are an FID; those of a ``classifier`` compare with the same classifier's alone.
        reference: the split that samples are compared with.
        n_reference: at most so many points of it, evenly spread over it; null: all.
        options: see ``FeatureOptions``.

    Raises:
        ValueError: when fewer than two samples or reference points are asked for or the reference has fewer than two
            points, or the features cannot be had.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        features: FeatureName = "pixels",
        reference: Split = "train",
        n_reference: PositiveInt | None = None,
        **options: Unpack[FeatureOptions],
    ) -> None:
        name = "fid" if features == "inception" else f"frechet_{features}"
        super().__init__(dataset, n_samples, name, features, reference, 2, options)
        if n_reference is not None and n_reference < 2:
            raise ValueError(f"n_reference must be at least 2, got {n_reference}")
        size = self.space.size(reference)
        self.n_reference = min(size, n_reference or size)
        self._metric: FrechetInceptionDistance | None = None

    @property
    def protocol(self) -> str:
        part = "" if self.n_reference == self.space.size(self.reference) else f"{self.n_reference:,} points of "
        against = f"{self.n_samples:,} samples against {part}the {self.reference} split"
        return f"{self.space.description}, {against}{self.tell_floor()}"

    def measure(self, samples: Tensor) -> Score:
        """The distance of points with these features ``[n, d]``."""
        if self._metric is None:
            self._metric = self._with_reference(samples.shape[1])
        self._metric.reset()
        for block in samples.split(self.space.block):
            self._metric.update(block, real=False)
        return Score(float(self._metric.compute()), n=len(samples))

    def _with_reference(self, d: int) -> FrechetInceptionDistance:
        from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import

        metric = FrechetInceptionDistance(
            _AsTheyAre(d),
            reset_real_features=False,
            normalize=True,  # features take floats as they are
            sync_on_compute=False,  # samples of this process alone are judged
        ).to(self.space.dataset.device)
        for block in self.space.reference_blocks(self.reference, self.n_reference):
            metric.update(block, real=True)
        return metric


class _AsTheyAre(nn.Identity):
    """Features that were computed before."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
