"""Jumps: weights of modes that no local kernel moves between."""

import math

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import MLP, Mixture
from ebm_exp.random import generator
from ebm_exp.sampler import MALA, Jump
from ebm_exp.start import Data, Mix, Uniform
from ebm_exp.start import Mixture as FittedMixture
from tests.sampler.running import jump, run_chain

N = 20_000
BOX = Domain(-6, 6, (2,))
FAR = Mixture((2,), centres=((-4.0, 0.0), (4.0, 0.0)), std=0.5, weights=(0.8, 0.2))
DATA = FAR.sample(2_000, generator("cpu", "data")).clamp(-6, 6)


def data() -> Dataset:
    return Dataset(name="far", domain=BOX, train=DATA, test=DATA)


@pytest.mark.parametrize(("proposal", "n_steps"), [("uniform", 150), ("mixture", 20)])
def test_weights_of_modes(proposal: str, n_steps: int) -> None:
    """All chains begin in the lighter mode."""
    start = torch.tensor([4.0, 0.0]).expand(N, 2)
    sampler = jump(MALA(0.2, 1, BOX), 1, data(), n_local=1, proposal=proposal, n_components=4)
    chain = run_chain(sampler, FAR, start, generator("cpu", 0), n_steps)
    assert abs(float((chain.x[:, 0] > 0).float().mean()) - 0.2) < 5 * math.sqrt(0.16 / N)
    assert 0 < float(chain.info.metrics()["chain/jumped"]) < 1


def test_the_mixture_is_a_density_and_draws_from_itself() -> None:
    q = FittedMixture(data(), 3)
    edges = torch.linspace(-6, 6, 401)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2)
    p = q.log_prob(points).double().exp() * (12 / 400) ** 2
    assert float(p.sum()) == pytest.approx(1, abs=1e-3)
    x = q.draw(N, generator("cpu", 0)).x
    right = float(p[points[:, 0] > 0].sum())
    assert abs(float((x[:, 0] > 0).float().mean()) - right) < 5 * math.sqrt(right * (1 - right) / N)
    spread = float((p * points[:, 1].square()).sum())
    assert float(x[:, 1].square().mean()) == pytest.approx(spread, rel=0.05)


def test_chains_outside_the_box_come_in() -> None:
    start = torch.full((200, 2), 7.0)
    chain = run_chain(jump(MALA(0.01, 1, BOX, reflect=False), 1, data()), FAR, start, generator("cpu", 0), 1)
    assert (chain.x.abs() <= 6.5).all()


def test_labels_go_with_their_proposals() -> None:
    energy = MLP((2,), (4,), conditional=True, n_classes=2)
    energy.forward = lambda x, y: (x - (6.0 * y - 3.0).unsqueeze(1)).square().sum(1) / 0.2  # type: ignore[method-assign]
    y = torch.arange(400) % 2
    sampler = jump(MALA(0.05, 1, BOX), 1, data(), n_jumps=4)
    x = run_chain(sampler, energy.bind(y=y), BOX.uniform(400, generator("cpu", 1)), generator("cpu", 0), 80).x
    assert ((x[:, 0] > 0) == (y == 1)).all()


def test_jumps_need_a_density() -> None:
    with pytest.raises(ValueError, match=r"proposal: jumps need a start of known density .*, not data"):
        Jump(MALA(0.1, 1, BOX), 1, Data(data()), BOX)
    mixed = Mix({"noise": Uniform(data()), "data": Data(data())})
    with pytest.raises(ValueError, match="known density"):
        Jump(MALA(0.1, 1, BOX), 1, mixed, BOX)


def test_jumps_are_not_for_two_levels() -> None:
    from ebm_exp.sampler import GibbsWithGradients

    with pytest.raises(ValueError, match="kernel: must be a continuous sampler, GibbsWithGradients is binary"):
        jump(GibbsWithGradients(1, BOX), 1, data())
