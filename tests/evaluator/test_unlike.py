"""Sets that are made of the data: each has what it says, and nothing of the data's own."""

import pytest
import torch

from ebm_exp.dataset import Gaussian, Synthetic
from ebm_exp.evaluator.unlike import MADE, foreign, make, spread
from tests.energy.test_joint import CPU

DATA = Synthetic("images", CPU, 0, shape=(3, 8, 8), classes=4, value_range=(0.0, 1.0))
X, DOMAIN = DATA.test(200), DATA.domain


@pytest.mark.parametrize("name", MADE)
def test_each_lies_in_the_domain_and_is_always_the_same(name: str) -> None:
    other = make(name, X, DOMAIN)
    assert other.shape == X.shape
    assert other.min() >= 0
    assert other.max() <= 1
    assert torch.equal(other, make(name, X, DOMAIN))
    assert not torch.isclose(other, X).flatten(1).all(1).any()
    flat = Gaussian("gaussian", CPU, 0, half_width=5.0, n_train=10, n_test=300)
    assert make(name, flat.test(), flat.domain).shape == (300, 2)


def test_constant_images_have_one_colour_each() -> None:
    levels = make("constant", X, DOMAIN).flatten(2)
    assert (levels == levels[:, :, :1]).all()
    colours = levels[:, :, 0]
    assert len(colours.unique()) == colours.numel()
    assert abs(float(colours.mean()) - 0.5) < 5 * (1 / 12 / colours.numel()) ** 0.5


def test_uniform_noise_has_the_variance_of_one_twelfth() -> None:
    noise = make("uniform", X, DOMAIN)
    assert abs(float(noise.var()) - 1 / 12) < 5 * (1 / 180 / noise.numel()) ** 0.5


def test_shuffled_pixels_keep_their_colours() -> None:
    pixels = X.double().flatten(2)
    shuffled = make("shuffled_pixels", X.double(), DOMAIN).flatten(2)
    torch.testing.assert_close(shuffled.sum(2), pixels.sum(2))
    for before, after in zip(pixels[:5].mT, shuffled[:5].mT, strict=True):  # [pixels, 3]: as whole colours
        assert (torch.cdist(after, before) < 1e-6).any(1).all()


def test_inverted_twice_is_the_image() -> None:
    torch.testing.assert_close(make("inverted", make("inverted", X, DOMAIN), DOMAIN), X)


def test_interpolations_are_means_of_two_different_images() -> None:
    others = 2 * make("interpolation", X.double(), DOMAIN) - X.double()
    nearest = torch.cdist(others.flatten(1), X.double().flatten(1)).min(1)
    assert nearest.values.max() < 1e-3
    assert torch.equal(nearest.indices.sort().values, torch.arange(len(X)))
    assert (nearest.indices != torch.arange(len(X))).all()


def test_points_are_spread_over_the_split() -> None:
    x, y = spread(DATA, 4)
    assert torch.equal(x, DATA.test()[[0, 128, 256, 384]])
    assert torch.equal(y, DATA.test_labels[[0, 128, 256, 384]])
    assert len(spread(DATA, 10_000).x) == DATA.n_test


def test_the_range_of_other_data_is_moved_to_ours() -> None:
    other = Synthetic("others", CPU, 1, shape=(3, 8, 8), value_range=(-1.0, 1.0))
    torch.testing.assert_close(foreign(other, DOMAIN, 10_000), (other.test() + 1) / 2)
