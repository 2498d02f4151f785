"""Gibbs with gradients against enumeration."""

import itertools

import pytest
import torch

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.dataset import BinaryDigits, Dataset, Digits, Domain
from ebm_exp.random import generator
from ebm_exp.sampler import GibbsWithGradients
from tests.config.test_conf import composed
from tests.sampler.running import run_chain

N, D = 20_000, 5


@pytest.mark.parametrize("box", [Domain(0, 1, (D,)), Domain(-1, 1, (D,))])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_against_enumeration(box: Domain, temperature: float) -> None:
    """32 states, an energy with cubic terms: total variation and χ² at the level of N independent points."""
    g = torch.Generator().manual_seed(0)
    j, k = torch.randn(D, D, generator=g), torch.randn(D, generator=g)

    def energy(x: torch.Tensor) -> torch.Tensor:
        x = (x - box.low) / (box.high - box.low)
        return torch.einsum("bi,ij,bj->b", x, j, x) / 3 + (x * k).sum(1) * x[:, 0] * x[:, 1]

    states = torch.tensor(list(itertools.product((box.low, box.high), repeat=D))).float()
    p = (-energy(states).double() / temperature).softmax(0)
    chain = run_chain(GibbsWithGradients(100, box, temperature), energy, box.uniform(N, g), generator("cpu", 0))
    assert set(chain.x.unique().tolist()) == {box.low, box.high}
    index = ((chain.x > box.centre) * 2 ** torch.arange(D - 1, -1, -1)).sum(1)
    share = torch.bincount(index, minlength=2**D).double() / N
    chi2 = float((N * (share - p).square() / p).sum())
    assert abs(chi2 - (2**D - 1)) / (2 * (2**D - 1)) ** 0.5 < 5
    expected = float((p * (1 - p) / N).sqrt().sum()) * (2 / torch.pi) ** 0.5 / 2
    assert float((share - p).abs().sum() / 2) < 2 * expected
    assert 0 < float(chain.info.metrics()["chain/acceptance"]) <= 1


def test_data_of_other_levels_are_known() -> None:
    cpu, box = torch.device("cpu"), Domain(-1, 1, (3,))
    ends = torch.tensor([[-1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])
    assert BinaryDigits("binary_digits", cpu).binary
    assert Dataset(name="table", domain=box, train=ends, test=ends).binary
    for data in (Digits("digits", cpu), Dataset(name="table", domain=box, train=ends / 2, test=ends)):
        assert not data.binary


def test_it_is_refused_on_data_of_other_levels() -> None:
    with pytest.raises(UserError, match=r"^sampler: needs points of two levels .*, the data set has others"):
        Parts(composed("sampler=gibbs_with_gradients"))["sampler"]
