"""Mixtures in any number of dimensions: densities and scores of every noise level, and points that belong to them."""

import math
import re

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.config.validate import validate
from ebm_exp.dataset import Mixture, mixture
from ebm_exp.random import generator
from tests.config.test_conf import composed

CPU = torch.device("cpu")


def make(**options: object) -> Mixture:
    return Mixture("mixture", CPU, 0, **{"n_train": 2000, "n_test": 100} | options)


LISTED = {"means": ((-1.0, 0.5), (1.0,), ()), "stds": (0.3, 0.5, 0.8), "weights": (1.0, 2.0, 3.0)}
MIXTURES = {
    "eight modes by seed": {},
    "all by seed": {"n_dims": 5, "n_modes": 6, "stds": "drawn", "weights": "drawn", "modes_seed": 3},
    "listed": LISTED,
    "listed, standardised": {**LISTED, "n_dims": 7, "standardize": True},
    "forty modes": {"n_dims": 16, "n_modes": 40, "spread": 40.0, "stds": 1.0, "standardize": True},
    "two modes": {"n_dims": 128, "means": ((-5.0,), (5.0,)), "stds": 1.0, "weights": (0.2, 0.8)},
    "shells": {"n_dims": 1000, "means": ((), ()), "stds": (1.0, 4.0), "n_train": 500},
}


@pytest.fixture(params=MIXTURES)
def data(request: pytest.FixtureRequest) -> Mixture:
    return make(**MIXTURES[request.param])


def truth(data: Mixture, share: float, width: float) -> MixtureSameFamily:
    stds = (share**2 * data.stds**2 + width**2).sqrt()
    return MixtureSameFamily(Categorical(data.weights), Independent(Normal(share * data.means, stds.unsqueeze(1)), 1))


def test_densities_and_scores_are_those_torch_knows(data: Mixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "_NUMBERS", 4000)  # blocks of a few points
    x, z = data.test().double(), torch.randn(data.test().shape, generator=generator("cpu", 1), dtype=torch.float64)
    torch.testing.assert_close(data.log_prob(x), truth(data, 1, 0).log_prob(x), rtol=1e-9, atol=1e-8)
    assert data.log_prob(x.float()).dtype == torch.float32
    for share, width in ((1.0, 0.01), (1.0, 5.0), (0.7, 0.3), (0.0, 1.0)):
        noised = (share * x + width * z).requires_grad_()
        expected = truth(data, share, width).log_prob(noised)
        torch.testing.assert_close(data.log_prob_noised(noised, share, width), expected, rtol=1e-9, atol=1e-8)
        (gradient,) = torch.autograd.grad(expected.sum(), noised)
        torch.testing.assert_close(data.score_noised(noised.detach(), share, width), gradient, rtol=1e-8, atol=1e-8)


def test_each_point_may_have_a_level_of_its_own(data: Mixture) -> None:
    x = data.test(3)
    share, width = torch.tensor([1.0, 0.5, 0.2]), torch.tensor([0.1, 0.5, 0.8])
    together = data.log_prob_noised(x, share, width), data.score_noised(x, share, width)
    for i in range(3):
        a, b = float(share[i]), float(width[i])
        torch.testing.assert_close(together[0][i : i + 1], data.log_prob_noised(x[i : i + 1], a, b))
        torch.testing.assert_close(together[1][i : i + 1], data.score_noised(x[i : i + 1], a, b))


def test_points_belong_to_the_density(data: Mixture) -> None:
    """Shares of modes, their mean lengths, and log p of training points against fresh ones, to five errors."""
    x, k = data.modes(4000, generator("cpu", 0))
    d = data.event_shape[0]
    counts = torch.bincount(k, minlength=len(data.weights)) / len(k)
    assert bool(((counts - data.weights).abs() < 5 * (data.weights / len(k)).sqrt()).all())
    length = ((x - data.means[k]) / data.stds[k, None]).square().sum(1)
    assert abs(float(length.mean()) - d) < 5 * math.sqrt(2 * d / len(k))
    held, fresh = data.log_prob(data.train().double()), data.log_prob(x.double())
    error = float(fresh.std()) * math.sqrt(1 / len(held) + 1 / len(fresh))
    assert abs(float(held.mean() - fresh.mean())) < 5 * error
    assert data.train_labels is None
    assert data.n_classes == 0
    low, high = (float(end) for end in data.train().aminmax())
    assert data.domain.low < low < high < data.domain.high


def test_the_density_integrates_to_one_on_the_box() -> None:
    data = make(**LISTED)
    side = torch.linspace(data.domain.low, data.domain.high, 301, dtype=torch.float64)
    log_p = data.log_prob(torch.cartesian_prod(side, side))
    assert float(log_p.exp().sum() * (side[1] - side[0]) ** 2) == pytest.approx(1, abs=1e-9)


def test_a_standardised_mixture_is_centred_and_has_variance_one() -> None:
    data, plain = (make(n_dims=16, n_modes=40, spread=40.0, stds=1.0, standardize=on) for on in (True, False))
    torch.testing.assert_close(data.weights @ data.means, torch.zeros(16, dtype=torch.float64), rtol=0, atol=1e-12)
    variance = data.weights @ (data.means**2 + data.stds[:, None] ** 2)
    assert float(variance.mean()) == pytest.approx(1, abs=1e-12)
    scale = 1 / float(data.stds[0])
    assert scale == pytest.approx(40 / math.sqrt(3), rel=0.1)
    torch.testing.assert_close(data.means * scale, plain.means - plain.means.mean(0))
    assert float(plain.means.abs().max()) < 40
    assert float(data.train().var(0).mean()) == pytest.approx(1, abs=0.1)


def test_modes_follow_their_own_seed_and_points_the_runs() -> None:
    def drawn(seed: int, modes_seed: int, **options: object) -> tuple[Tensor, ...]:
        data = Mixture("mixture", CPU, seed, modes_seed=modes_seed, n_train=10, n_test=2, **options)
        return data.means, data.stds, data.weights, data.train()

    by_seed = {"stds": "drawn", "weights": "drawn"}
    first, again, other, elsewhere = (drawn(*seeds, **by_seed) for seeds in ((0, 0), (0, 0), (1, 0), (0, 1)))
    assert [torch.equal(a, b) for a, b in zip(first, again, strict=True)] == [True] * 4
    assert [torch.equal(a, b) for a, b in zip(first, other, strict=True)] == [True, True, True, False]
    assert [torch.equal(a, b) for a, b in zip(first, elsewhere, strict=True)] == [False] * 4
    assert torch.equal(drawn(0, 0)[0], first[0])  # what is listed changes nothing of what is drawn
    assert 0.2 <= float(first[1].min()) < float(first[1].max()) <= 0.8
    assert 1 < float(first[2].max() / first[2].min()) <= 4
    assert float(first[2].sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"means": [[1, 2, 3]]}, "dataset: means: each must have at most 2 numbers (n_dims), got 3"),
        ({"means": []}, "dataset: means: must have at least 1, one for each mode (means), got 0"),
        (
            {"means": [[0], [1]], "weights": [1, 2, 3]},
            "dataset: weights: must have 2, one for each mode (means), got 3",
        ),
        ({"n_modes": 3, "stds": [1, 2]}, "dataset: stds: must have 3, one for each mode (n_modes), got 2"),
        ({"half_width": 3}, "dataset: half_width: must be at least 5.162, 4 deviations beyond the outermost mean"),
        ({"weights": [1, -1]}, "dataset.weights[1]: must be > 0, got [1, -1]"),
        ({"stds": 0}, "dataset.stds: must be"),
        ({"stds": "wide"}, "dataset.stds: must be"),
        ({"n_dims": 10**12}, "dataset: n_dims: would take"),
        ({"n_dims": 10**6}, "dataset: n_train: would take"),
    ],
)
def test_one_line_says_what_is_wrong(given: dict, message: str) -> None:
    config = composed("dataset=mixture")
    config["dataset"] |= given
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        Parts(validate(config))["dataset"]
    assert "\n" not in str(refused.value)
