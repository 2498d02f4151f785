"""Fidelity and diversity apart: how much of the samples lies in the data's manifold, and of the data in the samples'.

The manifold of a set is the union of the balls B(xᵢ, NNDₖ(xᵢ)) around its points, each as wide as the distance to the
k-th nearest other point of the set. With data x of n and samples x̂ of m points:

precision = 1/m Σⱼ 1[x̂ⱼ in the data's manifold],  recall = 1/n Σᵢ 1[xᵢ in the samples' manifold]
    (Kynkäänniemi et al. 2019, arXiv 1904.06991, Eq. 1 and 2)
density = 1/(km) Σⱼ Σᵢ 1[x̂ⱼ ∈ B(xᵢ, NNDₖ(xᵢ))],  coverage = 1/n Σᵢ 1[some x̂ⱼ ∈ B(xᵢ, NNDₖ(xᵢ))]
    (Naeem et al. 2020, arXiv 2002.09797, Sec. 3)
"""

import math
from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import HIGHER, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.features import FeatureName, FeatureOptions, FeatureSpace, Split
from ebm_exp.types import PositiveInt, Provided

BLOCK = 1024  # rows of the distance matrix in memory at once
NAMES = ("precision", "recall", "density", "coverage")


class Manifold(Evaluator):
    """``precision_<features>``, ``recall_…``, ``density_…``, ``coverage_…``; higher is better.

    Precision and density are about fidelity, recall and coverage about diversity. An outlier of the data has a wide
    ball, which raises precision; density and coverage feel it less. For samples of the data's own distribution density
    is 1 on average and coverage 1 − (n − 1)…(n − k)/((m + n − 1)…(m + n − k)) (Naeem et al. 2020); precision and recall
    depend on the distribution. Precision and density are means over independent samples: their standard errors are
    those with this reference set. Of recall and coverage, which all samples act on together, none is known.

    Args:
        dataset: gives the reference points, clean.
        n_samples: how many samples are compared, with as many reference points, evenly spread over the split.
        features: ``pixels``, ``classifier``, or a frozen network: see ``FeatureSpace``.
        reference: the split that samples are compared with.
        k: neighbours; 3 in Kynkäänniemi et al., 5 in Naeem et al.
        options: see ``FeatureOptions``.

    Raises:
        ValueError: when k is not below the number of samples and of reference points, or the features cannot be had.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        features: FeatureName = "pixels",
        reference: Split = "train",
        k: PositiveInt = 5,
        **options: Unpack[FeatureOptions],
    ) -> None:
        self.space = FeatureSpace(features, dataset, **options)
        self.n_reference = min(n_samples, self.space.size(reference))
        if k >= self.n_reference:
            raise ValueError(
                f"k must be below the number of samples and of reference points, got {k} with {n_samples} samples and "
                f"{self.space.size(reference)} points of the {reference} split"
            )
        self.n_samples = n_samples
        self.reference = reference
        self.k = k
        self._reference: tuple[Tensor, Tensor] | None = None  # points, radii

    def gives(self) -> dict[str, Kind]:
        return dict.fromkeys((f"{name}_{self.space.name}" for name in NAMES), HIGHER)

    @property
    def protocol(self) -> str:
        return (
            f"{self.space.description}, k = {self.k}, {self.n_samples:,} samples against {self.n_reference:,} points "
            f"of the {self.reference} split"
        )

    def __call__(self, model: Model) -> dict[str, Score]:
        """The four scores; NaN when a sample is not finite.

        Raises:
            ValueError: when there are no more than k samples or they are not of the data's shape.
        """
        fake = self.space.embed_samples(model, self.n_samples)
        if fake is None:
            return {name: Score(math.nan, better="higher", n=self.n_samples) for name in self.gives()}
        if len(fake) <= self.k:
            raise ValueError(f"k must be below the number of samples, got {self.k} with {len(fake)}")
        if self._reference is None:
            real = self.space.reference(self.reference, self.n_reference)
            self._reference = real, radii(real, self.k)
        found = compare(*self._reference, fake, radii(fake, self.k))
        scores = (
            Score.mean(found.in_real, "higher"),
            Score(float(found.in_fake.mean()), better="higher", n=len(fake)),
            Score.mean(found.balls / self.k, "higher"),
            Score(float(found.caught.mean()), better="higher", n=len(fake)),
        )
        return dict(zip(self.gives(), scores, strict=True))


class Found(NamedTuple):
    """Where points lie, in double precision.

    Attributes:
        in_real: 1 for each sample in the data's manifold ``[m]``.
        in_fake: 1 for each data point in the samples' manifold ``[n]``.
        balls: in how many of the data's balls each sample lies ``[m]``.
        caught: 1 for each data point whose ball holds a sample ``[n]``.
    """

    in_real: Tensor
    in_fake: Tensor
    balls: Tensor
    caught: Tensor


def radii(x: Tensor, k: int) -> Tensor:
    """Distance of each point of a set ``[n, d]`` to its k-th nearest other one ``[n]``."""
    return torch.cat([torch.cdist(block, x).kthvalue(k + 1, dim=1).values for block in x.split(BLOCK)])


def compare(real: Tensor, real_radii: Tensor, fake: Tensor, fake_radii: Tensor) -> Found:
    """Which points of two sets, ``[n, d]`` and ``[m, d]``, lie in which balls of the other."""
    balls, in_fake = [], torch.zeros_like(real_radii, dtype=torch.bool)
    caught = in_fake.clone()
    for block, radius in zip(fake.split(BLOCK), fake_radii.split(BLOCK), strict=True):
        distance = torch.cdist(block, real)  # [block, n]
        inside = distance <= real_radii
        balls.append(inside.sum(1))
        caught |= inside.any(0)
        in_fake |= (distance <= radius[:, None]).any(0)
    counts = torch.cat(balls).double()
    return Found((counts > 0).double(), in_fake.double(), counts, caught.double())
