"""Gaussians fitted to training points by expectation maximisation (scikit-learn's), and how many of them suit.

What is not given, their number or the floor of their variances, is what makes training points that were left out most
likely (threefold cross-validation; copies of a point stay together). Held-out points are not looked at.
"""

import warnings
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.random import derive_seed
from ebm_exp.random import generator as derived_generator

NEAREST = 1e-6  # to a wall, in widths of the box: v is finite
N_POINTS = 10_000  # training points that are looked at
N_CHOICE = 4_000  # of them, where a choice is to be made: it fits a hundred times
COMPONENTS = (1, 2, 4, 8, 16, 32)
ROWS_EACH = 10  # at least, for a Gaussian
FLOORS = tuple(10.0**k for k in range(-6, 1))  # in units of the mean variance of a component
N_FOLDS = 3


class Question(NamedTuple):
    """What is fitted: how many Gaussians, within the box or not, with which floor; None is to be chosen."""

    n_components: int | None
    bounded: bool
    variance_floor: float | None


_FITS: WeakKeyDictionary[Dataset, dict[Question, Any]] = WeakKeyDictionary()


def fit(dataset: Dataset, asked: Question) -> Any:
    """A fitted ``GaussianMixture``; one experiment may ask for it in several places: starts, proposals, a base."""
    fits = _FITS.setdefault(dataset, {})
    if asked not in fits:
        points = fitted_points(dataset)
        if asked.bounded:
            points = unbound(points, dataset.domain)
        n_components, floor = asked.n_components, asked.variance_floor
        if n_components is None or floor is None:
            n_components, floor = _choose(dataset, points[:N_CHOICE].numpy(), asked)
        fits[asked] = _gaussians(dataset, n_components, floor).fit(points.numpy())
    return fits[asked]


def _gaussians(dataset: Dataset, n_components: int, floor: float) -> Any:
    from sklearn.mixture import GaussianMixture

    seed = derive_seed("proposal", dataset.name) % 2**32
    return GaussianMixture(n_components, reg_covar=floor, random_state=seed)


def _choose(dataset: Dataset, points: np.ndarray, asked: Question) -> tuple[int, float]:
    """The number of Gaussians and the floor that leave the least surprise in points that were left out.

    Numbers are tried in turn until more Gaussians are no better.
    """
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from threadpoolctl import threadpool_limits

    groups = np.arange(len(points)) % dataset.n_train
    n_rows = len(np.unique(groups))
    numbers = COMPONENTS if asked.n_components is None else (asked.n_components,)
    unit = float(points.var(0).mean())
    floors = [unit * each for each in FLOORS] if asked.variance_floor is None else [asked.variance_floor]
    chosen, best = (numbers[0], floors[-1]), -np.inf  # of two rows, which leave nothing out
    for n in numbers if n_rows >= N_FOLDS else ():
        if n > max(numbers[0], n_rows // ROWS_EACH):
            break
        gaussians, folds = _gaussians(dataset, n, floors[0]), GroupKFold(N_FOLDS)
        search = GridSearchCV(gaussians, {"reg_covar": floors}, cv=folds, refit=False)
        # Fits are small: threads would wait for each other. A floor too low to fit with is warned of, and not chosen.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(points, groups=groups)
        if not search.best_score_ > best:
            break
        chosen, best = (n, float(search.best_params_["reg_covar"])), search.best_score_
    return chosen


def fitted_points(dataset: Dataset) -> Tensor:
    """Training points ``[n, d]`` in float64; levels are dequantized, as often as it takes."""
    x = dataset.train(N_POINTS).flatten(1).double().cpu()
    if not dataset.dequantize:
        return x
    low, width, n_levels = dataset.domain.low, dataset.domain.high - dataset.domain.low, dataset.n_levels
    x = x.repeat(-(-N_POINTS // len(x)), 1)[:N_POINTS]
    u = torch.rand(x.shape, generator=derived_generator("cpu", "proposal", dataset.name), dtype=x.dtype)
    return low + ((x - low) * (n_levels - 1) / width + u) * width / n_levels


def unbound(x: Tensor, domain: Domain) -> Tensor:
    """v = Φ⁻¹(u) of points of the box, u = (x − low)/(high − low)."""
    u = (x - domain.low) / (domain.high - domain.low)
    return torch.special.ndtri(u.clamp(NEAREST, 1 - NEAREST))
