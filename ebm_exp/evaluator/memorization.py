"""Memorisation: do samples lie nearer to the training points than held-out points of the same data do?

With d(x) the distance to the nearest training point, samples x̂ are compared with held-out points x by the statistic of
Mann and Whitney, P(d(x̂) < d(x)) + P(d(x̂) = d(x))/2, as Meehan et al. 2020, arXiv 2004.05675, do in cells of a
partition; here all of space is one cell.
"""

import math
from typing import Unpack

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import LOWER, Evaluator, Kind, Model, Score
from ebm_exp.evaluator.features import FeatureName, FeatureOptions, FeatureSpace
from ebm_exp.types import Batch, Points, PositiveInt, Provided

QUANTILE = 0.05  # of the held-out distances, below which a sample counts as near
SHOWN, NEIGHBOURS = 8, 7  # samples of the panel, and training points beside each
PANEL = "samples, each before its nearest training points"


class Memorization(Evaluator):
    """``memorization_share``: of samples nearer to a training point than 95 % of held-out points are; .05 for new data.

    ``memorization_auc``: the probability that a sample is nearer than a held-out point; ½ for new data, 1 for copies.
    Samples far from all data lie below both, so a low value is no praise by itself.

    The standard error of the probability is that of DeLong et al. 1988; the share's is binomial, and holds that of the
    quantile too, to first order with a ratio of densities of share/.05.

    Args:
        dataset: gives training and held-out points, clean.
        n_samples: how many samples are compared, with as many held-out points, evenly spread over the test split.
        features: in which distances are taken: ``pixels``, ``classifier``, or a frozen network: see ``FeatureSpace``.
        options: see ``FeatureOptions``.

    Raises:
        ValueError: when the data set holds nothing out, fewer than two samples are asked for or fewer than two points
            are held out, or the features cannot be had.
    """

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_samples: PositiveInt,
        features: FeatureName = "pixels",
        **options: Unpack[FeatureOptions],
    ) -> None:
        self.space = FeatureSpace(features, dataset, **options)
        if not dataset.holds_out:
            raise ValueError(
                f"memorization needs held-out points, {dataset.name} has none (dataset.test_share of digits); "
                "remove it with ~evaluator.memorization"
            )
        if min(n_samples, dataset.n_test) < 2:
            raise ValueError(f"n_samples and held-out points must be at least 2, got {n_samples} and {dataset.n_test}")
        self.dataset, self.n_samples = dataset, n_samples
        self._held_out: Tensor | None = None  # distances

    def gives(self) -> dict[str, Kind]:
        return {"memorization_share": LOWER}

    @property
    def protocol(self) -> str:
        return (
            f"{self.space.description}, nearest of {self.dataset.n_train:,} training points, {self.n_samples:,} "
            f"samples against {min(self.n_samples, self.dataset.n_test):,} of the test split"
        )

    def __call__(self, model: Model) -> dict[str, Score]:
        """Both scores; NaN when a sample is not finite.

        Raises:
            ValueError: when there are fewer than two samples or they are not of the data's shape.
        """
        samples = self.space.embed_samples(model, self.n_samples)
        if samples is None:
            unknown = {"memorization_share": Score(math.nan, n=self.n_samples)}
            return unknown | {"memorization_auc": Score(math.nan, better=None, n=self.n_samples)}
        if self._held_out is None:
            self._held_out = self._distance(self.space.reference("test", self.n_samples))
        distance = self._distance(samples)
        near = share_near(distance, self._held_out)
        return {"memorization_share": near, "memorization_auc": probability_nearer(distance, self._held_out)}

    def panels(self, model: Model) -> dict[str, Points]:
        """The 8 samples that are nearest to a training point, each in a row before its 7 nearest ones ``[64, …]``.

        Of points that are no images, these samples over the training point that is nearest to each.
        """
        x = model.samples(self.n_samples).x.to(self.dataset.device)
        features = self.space.embed_samples(model, self.n_samples)
        if features is None:
            return {}
        nearest = self._distance(features).topk(min(SHOWN, len(x)), largest=False).indices
        shown, beside = x[nearest], self._nearest(features[nearest], NEIGHBOURS)
        if len(self.dataset.event_shape) != 3:
            return {"nearest training points": Points(beside[:, 0]), "samples nearest to any": Points(shown)}
        return {PANEL: Points(torch.cat([shown[:, None], beside], 1).flatten(0, 1))}

    def _distance(self, features: Tensor) -> Tensor:
        """d of points by their features ``[n, d]``, ``[n]``."""
        nearest = self._nearest(features, 1)[:, 0]
        return (self.space.of(nearest) - features).norm(dim=1)  # not by a matrix product: equal ones come out equal

    def _nearest(self, features: Tensor, k: int) -> Batch:
        """The k training points nearest to points by their features ``[n, d]``, ``[n, k, *event]``."""
        distance = features.new_empty(len(features), 0)
        points = torch.empty(len(features), 0, *self.dataset.event_shape, device=features.device)
        blocks = self.dataset.blocks("train", self.space.block)
        for (x, _), of_them in zip(blocks, self.space.reference_blocks("train", self.dataset.n_train), strict=True):
            further, at = torch.cdist(features, of_them).topk(min(k, len(x)), largest=False)
            distance, points = torch.cat([distance, further], 1), torch.cat([points, x[at]], 1)
            distance, at = distance.topk(min(k, distance.shape[1]), largest=False)
            points = points[torch.arange(len(points), device=points.device)[:, None], at]
        return points


def share_near(samples: Tensor, held_out: Tensor) -> Score:
    """The share of distances ``[n]`` below the 5 % quantile of held-out ones ``[m]``."""
    n, m = len(samples), len(held_out)
    share = float((samples < held_out.quantile(QUANTILE)).double().mean())
    of_quantile = (share / QUANTILE) ** 2 * QUANTILE * (1 - QUANTILE) / m
    return Score(share, math.sqrt(share * (1 - share) / n + of_quantile), "lower", n)


def probability_nearer(samples: Tensor, held_out: Tensor) -> Score:
    """P(d < d′) + P(d = d′)/2 for distances d of samples ``[n]`` and d′ of held-out points ``[m]``."""
    embed_samples = 1 - _rank(samples, held_out)
    of_held_out = _rank(held_out, samples)
    variance = embed_samples.var() / len(samples) + of_held_out.var() / len(held_out)
    return Score(float(embed_samples.mean()), math.sqrt(float(variance)), None, len(samples))


def _rank(x: Tensor, among: Tensor) -> Tensor:
    """For each x ``[n]`` the share of the others ``[m]`` that are less, ties by half ``[n]``."""
    among = among.sort().values
    below, up_to = (torch.searchsorted(among, x, right=right) for right in (False, True))
    return (below + up_to).double() / (2 * len(among))
