"""What distances from the data in a feature space have in common: the samples' features, and the floor beside them."""

import math
from abc import abstractmethod

from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import DISTANCE, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.features import FeatureName, FeatureOptions, FeatureSpace, Split
from ebm_exp.types import PositiveInt


class Distance(Evaluator):
    """A distance of samples from a split of the data, by their features.

    In the features of a frozen network, ``<name>_floor`` stands beside it: the distance of as many points of the other
    split, which is what samples of the data's own distribution come to. It is left out where that split has fewer.

    Attributes:
        name: of the score.
    """

    def __init__(
        self,
        dataset: Dataset,
        n_samples: PositiveInt,
        name: str,
        features: FeatureName,
        reference: Split,
        least: int,
        options: FeatureOptions,
    ) -> None:
        self.space = FeatureSpace(features, dataset, **options)
        if n_samples < least:
            raise ValueError(f"n_samples must be at least {least}, got {n_samples}")
        if (n := self.space.size(reference)) < least:
            raise ValueError(f"reference must hold at least {least} points, the {reference} split has {n}")
        self.n_samples, self.reference = n_samples, reference
        self.name = name
        self._floor: dict[int, Score] = {}

    def gives(self) -> dict[str, Kind]:
        return {self.name: DISTANCE}

    def __call__(self, model: Model) -> dict[str, Score]:
        """The distance, and its floor where there is one; NaN when a sample is not finite.

        Raises:
            ValueError: when there are too few samples or they are not of the data's shape.
        """
        samples = self.space.embed_samples(model, self.n_samples)
        if samples is None:
            return {self.name: Score(math.nan, n=self.n_samples)}
        scores, n = {self.name: self.measure(samples)}, len(samples)
        if (other := self._other(n)) is not None:
            if n not in self._floor:
                self._floor[n] = self.measure(self.space.drawn(other, n))._replace(better=None)
            scores[f"{self.name}_floor"] = self._floor[n]
        return scores

    @abstractmethod
    def measure(self, samples: Tensor) -> Score:
        """The distance of points with these features ``[n, d]``."""

    def _other(self, n: int) -> Split | None:
        """The split whose points are at the floor of n samples; None where no floor is measured."""
        other: Split = "test" if self.reference == "train" else "train"
        measured = self.space.frozen and self.space.dataset.holds_out and self.space.size(other) >= n
        return other if measured else None

    def tell_floor(self) -> str:
        """What a protocol says of it."""
        other = self._other(self.n_samples)
        return "" if other is None else f", floor: as many points of the {other} split"
