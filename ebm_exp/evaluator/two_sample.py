"""Can a classifier tell samples from held-out points? And do components go together as theirs do?

c2st                 the accuracy of boosted trees on points that they were not fitted to, half of them held-out points,
                     half samples (Lopez-Paz & Oquab 2017, arXiv 1610.06545): ½ for samples of the data's distribution,
                     and then, by chance, with a standard error of 1/(2√n); 1 for samples that are told at a glance
correlation_error    the mean over pairs of components of |ρ of samples − ρ of held-out points|

What finite data cost stands beside the latter: the same of the training points themselves.
"""

import math

import numpy as np
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import LOWER, Evaluator, Kind, Model, Score, check_samples
from ebm_exp.random import derive_seed, generator
from ebm_exp.types import PositiveInt, Provided

N_FOLDS = 5  # fewer of fewer points


class TwoSample(Evaluator):
    """``c2st`` and ``correlation_error``, lower is better, and ``correlation_error_training``.

    Args:
        dataset: gives held-out and training points, as a density sees them.
        n_samples: that are drawn; the classifier takes as many as there are held-out points, and no more points than
            these.

    Raises:
        ValueError: when there are fewer than two samples or held-out points.
    """

    def __init__(self, dataset: Provided[Dataset], n_samples: PositiveInt) -> None:
        if min(n_samples, dataset.n_test) < 2:
            raise ValueError(
                "n_samples: needs at least 2 samples and held-out points, there are "
                f"{min(n_samples, dataset.n_test)}; a larger dataset.test_share holds more out, ~evaluator.two_sample "
                "does without"
            )
        self.dataset = dataset
        self.n_samples = n_samples

    def gives(self) -> dict[str, Kind]:
        names = ("c2st", "correlation_error") if self._has_pairs() else ("c2st",)
        return dict.fromkeys(names, LOWER)

    def _has_pairs(self) -> bool:
        return math.prod(self.dataset.event_shape) > 1

    @property
    def protocol(self) -> str:
        split = "held-out points" if self.dataset.holds_out else "training points"
        n = min(self.n_samples, self.dataset.n_test)
        trees = f"boosted trees, {min(N_FOLDS, n)} folds, {n:,} {split} and as many samples"
        return f"{trees}; correlations of {self.n_samples:,}"

    def __call__(self, model: Model) -> dict[str, Score]:
        """The scores; NaN when a sample is not a number."""
        samples = model.samples(self.n_samples).x
        check_samples(samples, self.dataset.event_shape)
        g = generator(self.dataset.device, "two samples", "held out", self.dataset.name)
        held_out, fake = (_rows(each) for each in (self.dataset.held_out(g), samples))
        n = min(len(held_out), len(fake))
        scores = {"c2st": accuracy(held_out[:n], fake[:n], derive_seed("two samples", self.dataset.name) % 2**32)}
        if self._has_pairs():
            train = _rows(self.dataset.train())
            scores["correlation_error"] = Score(correlation_error(fake, held_out), n=len(fake))
            own = correlation_error(train, held_out)
            scores["correlation_error_training"] = Score(own, better=None, n=len(train))
        return scores


def accuracy(real: np.ndarray, fake: np.ndarray, seed: int) -> Score:
    """How often a classifier is right on points ``[n, d]`` of two kinds, n of each, that it was not fitted to."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    n = 2 * len(real)
    if not np.isfinite(fake).all():
        return Score(math.nan, n=n)
    x, y = np.concatenate([real, fake]), np.repeat([1, 0], n // 2)
    folds = StratifiedKFold(min(N_FOLDS, len(real)), shuffle=True, random_state=seed)
    with threadpool_limits(1):  # fits are small: threads would wait for each other
        told = cross_val_predict(HistGradientBoostingClassifier(random_state=seed), x, y, cv=folds)
    right = float((told == y).mean())
    return Score(right, math.sqrt(right * (1 - right) / n), n=n)


def correlation_error(x: np.ndarray, y: np.ndarray) -> float:
    """Mean |ρ_ij(x) − ρ_ij(y)| over the pairs i < j of components of points ``[n, d]``, where both have one."""
    pairs = np.triu_indices(x.shape[1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a component that is the same in all points has none
        gaps = np.abs(np.corrcoef(x.T)[pairs] - np.corrcoef(y.T)[pairs])
    constant = (np.ptp(x, 0) == 0) | (np.ptp(y, 0) == 0)
    return float(gaps[~(constant[pairs[0]] | constant[pairs[1]])].mean())


def _rows(x: Tensor) -> np.ndarray:
    return x.flatten(1).double().cpu().numpy()
