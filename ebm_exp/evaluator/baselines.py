"""Densities that need no network, fitted to the training split: what a likelihood is compared with.

independent   each component a normal within the box, with the data's mean and deviation
gaussian      one Gaussian with all covariances, on all of space; a floor is added to its variances, that of
              FLOORS with the best likelihood of points left out (threefold cross-validation)
"""

from typing import Any

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.random import derive_seed
from ebm_exp.start import Independent, Mixture, Start
from ebm_exp.start.mixture import fitted_points

FLOORS = tuple(10.0**k for k in range(-6, 1))  # in units of the mean variance of a component
N_FOLDS = 3


def fit_baselines(dataset: Dataset) -> dict[str, Start]:
    """Densities by name, on the data set's device; levels are dequantized as in training."""
    floor = choose_floor(dataset)
    independent, gaussian = Independent(dataset), Mixture(dataset, 1, uniform_share=0.0, variance_floor=floor)
    return {"independent": independent.to(dataset.device), "gaussian": gaussian.to(dataset.device)}


def choose_floor(dataset: Dataset) -> float:
    """The floor with the best likelihood of training points that were left out; copies of a point stay together."""
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import GridSearchCV, GroupKFold

    points = fitted_points(dataset)
    groups = torch.arange(len(points)) % dataset.n_train
    floors = [float(points.var(0, correction=0).mean()) * each for each in FLOORS]
    n_folds = min(N_FOLDS, len(groups.unique()))
    if n_folds < 2:
        return floors[0]
    one: Any = GaussianMixture(1, init_params="random", random_state=derive_seed("baseline", dataset.name) % 2**32)
    search = GridSearchCV(one, {"reg_covar": floors}, cv=GroupKFold(n_folds), refit=False)
    search.fit(points.numpy(), groups=groups.numpy())
    return float(search.best_params_["reg_covar"])


def surprise(density: Start, x: Tensor, block: int) -> Tensor:
    """−log q of points ``[n, *event]`` in nats ``[n]``, float64."""
    return -torch.cat([density.log_prob(some).double() for some in x.split(block)])
