"""Inception score: samples that a classifier is sure of, of many classes (Salimans et al. 2016, arXiv 1606.03498).

IS = exp(E KL(p(y|x) ‖ p(y))),  p(y) = E p(y|x), from 1 to the number of classes
"""

import math
import warnings
from typing import Unpack

from torch import nn

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import HIGHER, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.features import ClassifierName, FeatureOptions, FeatureSpace
from ebm_exp.random import seed_global
from ebm_exp.types import PositiveInt, Provided


class InceptionScore(Evaluator):
    """``inception_score``, or ``inception_score_<features>`` of another network; higher is better.

    It looks at no data: it sees neither classes that are missing within a class's images nor copies of the data. Its
    value is the mean over disjoint splits of the samples, its standard error that of this mean. Few samples in a split
    lower it.

    Args:
        dataset: whose labels the classifier knows.
        n_samples: how many samples are judged.
        features: whose logits: ``classifier``, a small one of the data set's own labels, or ``inception``: see
            ``FeatureSpace``, or another frozen network. Only Inception's compare with published numbers.
        splits: into so many parts, or half of the samples if that is less.
        options: see ``FeatureOptions``.

    Raises:
        ValueError: when fewer than four samples or two splits are asked for, or the features cannot be had.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        features: ClassifierName = "classifier",
        splits: PositiveInt = 10,
        **options: Unpack[FeatureOptions],
    ) -> None:
        self.space = FeatureSpace(features, dataset, **options)
        if n_samples < 4 or splits < 2:
            raise ValueError(f"n_samples must be at least 4 and splits at least 2, got {n_samples} and {splits}")
        self.n_samples, self.splits = n_samples, min(splits, n_samples // 2)
        self.name = "inception_score" if features == "inception" else f"inception_score_{features}"

    def gives(self) -> dict[str, Kind]:
        return {self.name: HIGHER}

    @property
    def protocol(self) -> str:
        whose = self.space.description.replace("features", "logits", 1)
        return f"{whose}, {self.n_samples:,} samples in {self.splits} splits"

    def __call__(self, model: Model) -> dict[str, Score]:
        """The score; NaN when a sample is not finite.

        Raises:
            ValueError: when there are fewer than two samples or they are not of the data's shape.
        """
        from torchmetrics.image.inception import InceptionScore as Metric  # takes seconds to import

        logits = self.space.embed_samples(model, self.n_samples, logits=True)
        if logits is None:
            return {self.name: Score(math.nan, better="higher", n=self.n_samples)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it keeps all logits
            metric = Metric(nn.Identity(), self.splits, sync_on_compute=False)
        metric.update(logits)
        with seed_global("inception score", 0):
            mean, std = (float(value) for value in metric.compute())
        splits = len(logits.chunk(self.splits))  # of equal size, so they may be fewer
        return {self.name: Score(mean, std / math.sqrt(splits), "higher", len(logits))}
