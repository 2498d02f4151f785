"""A classifier that tells samples from held-out points, and correlations."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import Gaussian
from ebm_exp.evaluator import TwoSample
from ebm_exp.evaluator.two_sample import correlation_error
from tests.evaluator.scoring import scored

ENERGY = Gaussian((2,))  # not called


def normal(n: int, seed: int, d: int = 2) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def data(test: Tensor) -> Dataset:
    return Dataset(name="rows", domain=Domain(-9, 9, tuple(test.shape[1:])), train=normal(200, 9), test=test)


def test_samples_of_the_same_law_are_not_told_apart_and_others_are() -> None:
    evaluator = TwoSample(data(normal(500, 0)), 500)
    same = scored(evaluator, ENERGY, normal(500, 1))
    assert abs(same["c2st"] - 0.5) < 4 * same["c2st_se"]
    assert same["c2st_se"] == pytest.approx(0.5 / math.sqrt(1000), rel=0.02)
    shifted = scored(evaluator, ENERGY, normal(500, 1) + torch.tensor([2.0, 0.0]))
    best = 0.5 * (1 + math.erf(1 / math.sqrt(2)))  # of Bayes: Φ(2/2)
    assert best - 0.07 < shifted["c2st"] < best + 4 * shifted["c2st_se"]
    assert scored(evaluator, ENERGY, normal(500, 1)) == same


def test_a_correlation_that_is_missing_is_seen_beside_what_finite_rows_cost() -> None:
    x = normal(400, 0)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    found = scored(TwoSample(data(x), 400), ENERGY, normal(400, 1))
    assert found["correlation_error"] == pytest.approx(0.8, abs=0.1)
    assert found["correlation_error_training"] == pytest.approx(0.8, abs=0.1)
    assert found["c2st"] > 0.6
    x, y = np.array([[0.0, 0, 1], [1, 1, 1], [2, 2, 1]]), np.array([[0.0, 0, 2], [1, -1, 3], [2, -2, 5]])
    assert correlation_error(x, y) == pytest.approx(2)  # the third is constant, and has none


def test_not_a_number_stays_one_and_few_points_are_refused() -> None:
    x = normal(20, 0)
    x[3, 1] = math.nan
    assert math.isnan(scored(TwoSample(data(normal(20, 1)), 20), ENERGY, x)["c2st"])
    few = scored(TwoSample(data(normal(2, 1)), 20), ENERGY, normal(20, 0))
    assert 0 <= few["c2st"] <= 1
    with pytest.raises(
        ValueError, match="n_samples: needs at least 2 samples and held-out points, there are 1; a larg"
    ):
        TwoSample(data(normal(1, 1)), 20)
