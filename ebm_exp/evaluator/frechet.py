"""Fréchet distance between Gaussians fitted to the features of samples and of data (Heusel et al., NeurIPS 2017).

d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½). It says nothing without its features, its n and its reference: with pixels as
features a Gaussian fitted to the data is hard to beat, so look at the pictures too.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import Evaluator
from ebm_exp.types import Batch, EnergyFn, PositiveInt


class _Pixels(nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features  # the name that torchmetrics looks for

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Frechet(Evaluator):
    """Fréchet distance d² through torchmetrics, named by its features.

    Args:
        dataset: the reference.
        n_samples: number of fresh chains, at least 2.
        features: ``pixels``: the components of x in the data's own units.
        reference: the split that is compared with, without noise.
    """

    def __init__(
        self,
        dataset: Dataset,
        n_samples: PositiveInt = 1000,
        features: Literal["pixels"] = "pixels",
        reference: Literal["train", "test"] = "train",
    ) -> None:
        if n_samples < 2:
            raise ValueError(f"n_samples: a covariance needs at least 2, got {n_samples}")
        self.dataset, self.n_samples, self.features, self.reference = dataset, n_samples, features, reference
        self._metric: Any = None

    def __call__(self, energy: EnergyFn, samples: Batch) -> dict[str, float]:
        if self._metric is None:  # importing torchmetrics takes seconds: not before the first judgement
            from torchmetrics.image.fid import FrechetInceptionDistance

            size = samples[0].numel()
            metric = FrechetInceptionDistance(feature=_Pixels(size), reset_real_features=False, normalize=True)
            self._metric = metric.set_dtype(torch.float64).to(samples.device)
            reference = self.dataset.train() if self.reference == "train" else self.dataset.test()
            self._metric.update(reference, real=True)
        self._metric.update(samples, real=False)
        distance = float(self._metric.compute())
        self._metric.reset()
        return {f"frechet_{self.features}": distance}
