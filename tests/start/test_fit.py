"""How many Gaussians suit the data, and how wide they are at least."""

import math

import pytest
import torch
from torch import Tensor

from ebm_exp.dataset import Dataset, Digits, Domain
from ebm_exp.start import Mixture, fit

CPU = torch.device("cpu")


def points(x: Tensor, name: str = "points") -> Dataset:
    return Dataset(name=name, domain=Domain(-9, 9, tuple(x.shape[1:])), train=x, test=x[:2].clone())


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def chosen(mixture: Mixture) -> int:
    return len(mixture.weights)


def test_one_gaussian_is_enough_for_one_and_several_are_found() -> None:
    one = normal(300, 2)
    apart = one + 6 * (torch.arange(300) % 2).unsqueeze(1) - 3
    assert chosen(Mixture(points(one), None, uniform_share=0.0, variance_floor=None)) == 1
    assert chosen(Mixture(points(apart), None, uniform_share=0.0, variance_floor=None)) == 2
    assert chosen(Mixture(points(apart), None, uniform_share=0.0, variance_floor=0.1)) == 2
    assert chosen(Mixture(points(apart), 3, uniform_share=0.0, variance_floor=None)) == 3


def test_what_is_chosen_is_never_far_below_one_gaussian() -> None:
    """Rows of few columns and of many, of a normal law that one Gaussian has: more Gaussians are not fooled."""
    for n, d in ((12, 2), (60, 10), (200, 20)):
        x = normal(n + 500, d, seed=n)
        data = points(x[:n], f"{n} rows")
        one, several = (Mixture(data, k, uniform_share=0.0, variance_floor=None) for k in (1, None))
        assert float((several.log_prob(x[n:]) - one.log_prob(x[n:])).mean()) > -0.2


def test_a_floor_is_chosen_where_points_are_few_and_copies_of_a_point_stay_together() -> None:
    """Twelve points in twenty dimensions: a Gaussian without a floor is infinitely sure of its own."""
    box = Domain(-1, 1, (1, 4, 5))
    levels = torch.randint(17, (12, 1, 4, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    data = Dataset(name="few", domain=box, train=levels, test=levels[:4].clone(), n_levels=17, dequantize=True)
    asked = fit.Question(1, bounded=False, variance_floor=None)
    assert fit.fit(data, asked).reg_covar > 0.1
    assert fit.fit(data, asked) is fit.fit(data, asked)


@pytest.mark.parametrize("n", [2, 3])
def test_hardly_any_rows(n: int) -> None:
    start = Mixture(points(normal(n, 2), f"{n} rows"), None, uniform_share=0.0, variance_floor=None)
    assert chosen(start) == 1
    assert math.isfinite(float(start.log_prob(torch.zeros(1, 2))))


def test_levels_are_dequantized_within_their_cells() -> None:
    digits = Digits("digits", CPU, dequantize=True)
    x = fit.fitted_points(digits)
    assert x.shape == (fit.N_POINTS, 64)
    assert (x >= -1).all()
    assert (x < 1).all()
    cells = ((x + 1) / 2 * 17).floor()
    levels = ((digits.train(fit.N_POINTS).flatten(1) + 1) / 2 * 16).round()
    assert torch.equal(cells[: len(levels)], levels.double())
