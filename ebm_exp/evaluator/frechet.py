"""Fréchet distance between samples and data: both seen as Gaussians in a feature space.

d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)    (Dowson & Landau 1982; as FID: Heusel et al. 2017, Eq. 6)
"""

from __future__ import annotations

from math import nan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import Evaluator, Model, Score, check_samples
from ebm_exp.evaluator.classifier import Features, trained
from ebm_exp.types import PositiveInt, Provided

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

BLOCK = 1024  # points whose features are in memory at once
MOST = 1024  # pixels that are compared; the cost of a distance grows as their cube


class Pixels(nn.Module):
    """Features that are the components themselves, in double precision: ``[batch, *event]`` → ``[batch, d]``.

    Images of more than 1,024 components are averaged over squares of ``pool`` pixels, the smallest that leave so few.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.pool = 1
        if len(event_shape) == 3:
            channels, height, width = event_shape
            while channels * (height // self.pool) * (width // self.pool) > MOST:
                self.pool += 1
            event_shape = (channels, height // self.pool, width // self.pool)
        self.num_features = prod(event_shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x.double()
        return (x if self.pool == 1 else avg_pool2d(x, self.pool)).flatten(1)


class Frechet(Evaluator):
    """``frechet_<features>``: Fréchet distance of samples to data, in squared units of the features; 0 is best.

    It looks at means and covariances alone: in pixels, a Gaussian fitted to the data scores near 0. Finite samples
    raise it, so compare numbers at the same ``n_samples`` and reference. The reference's statistics are computed at the
    first use, and kept.

    Args:
        dataset: gives the reference points, clean.
        n_samples: how many samples are compared.
        features: ``pixels`` (see ``Pixels``), or the 128 of a small ``classifier`` of the data set's labels, trained
            at the first use. Its numbers are no FID: they compare with those of the same classifier alone.
        reference: the split that samples are compared with.
        cache_dir: where the classifier is kept.

    Raises:
        ValueError: when fewer than two samples are asked for or the reference has fewer than two points.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        features: Literal["pixels", "classifier"] = "pixels",
        reference: Literal["train", "test"] = "train",
        cache_dir: str = "outputs/cache",
    ) -> None:
        if features == "classifier" and dataset.n_classes < 2:
            raise ValueError(f"features: classifier needs labels, {dataset.name} has none; use features=pixels")
        if n_samples < 2:
            raise ValueError(f"n_samples must be at least 2, got {n_samples}")
        n_reference = dataset.n_train if reference == "train" else dataset.n_test
        if n_reference < 2:
            raise ValueError(f"reference must hold at least 2 points, the {reference} split has {n_reference}")
        self.dataset, self.n_samples, self.features, self.reference = dataset, n_samples, features, reference
        self.cache_dir, self.produces = Path(cache_dir), {f"frechet_{features}": "lower"}
        self._metric: FrechetInceptionDistance | None = None

    @property
    def protocol(self) -> str:
        pool = Pixels(self.dataset.event_shape).pool if self.features == "pixels" else 1
        means = f" (means over {pool}×{pool})" if pool > 1 else ""
        return f"{self.features} features{means}, {self.n_samples:,} samples against the {self.reference} split"

    def __call__(self, model: Model) -> dict[str, Score]:
        """``frechet_<features>``; NaN when a sample is not finite.

        Raises:
            ValueError: when there are fewer than two samples or they are not of the data's shape.
        """
        samples = model.samples(self.n_samples).x
        check_samples(samples, self.dataset.event_shape)
        if not samples.isfinite().all():  # the eigenvalue routine would stop with an error of its own
            return {f"frechet_{self.features}": Score(nan, n=len(samples))}
        if self._metric is None:
            self._metric = self._with_reference()
        self._metric.reset()
        for block in samples.to(self.dataset.device).split(BLOCK):
            self._metric.update(block, real=False)
        return {f"frechet_{self.features}": Score(float(self._metric.compute()), n=len(samples))}

    def _with_reference(self) -> FrechetInceptionDistance:
        from torchmetrics.image.fid import FrechetInceptionDistance  # takes seconds to import

        features = (
            Pixels(self.dataset.event_shape)
            if self.features == "pixels"
            else Features(trained(self.dataset, self.cache_dir)[0])
        )
        metric = FrechetInceptionDistance(
            features,
            reset_real_features=False,
            normalize=True,  # features take floats as they are
            sync_on_compute=False,  # samples of this process alone are judged
        ).to(self.dataset.device)
        for x, _ in self.dataset.blocks(self.reference, BLOCK):
            metric.update(x, real=True)
        return metric
