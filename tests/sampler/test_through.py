"""Chains with a graph are the chains without one, for every kernel; and the graph reaches the parameters."""

import pytest
import torch

from ebm_exp.energy import MLP
from ebm_exp.random import generator
from ebm_exp.regularization import SpectralNorm
from ebm_exp.sampler import run_chain
from ebm_exp.sampler.through import run_through
from tests.sampler.test_contract import BOX, CONTINUOUS, SAMPLERS


def energy() -> MLP:
    torch.manual_seed(0)
    return SpectralNorm().prepare(MLP((3,), (16,), conditional=True, n_classes=2))


@pytest.mark.parametrize("n_live", [1, 4])
@pytest.mark.parametrize("n_chains", [10, 4])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_same_chains(name: str, n_chains: int, n_live: int) -> None:
    net, y = energy(), torch.arange(10) % 2
    x = BOX.uniform(10, generator("cpu", "points"))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    plain = run_chain(SAMPLERS[name](), net.condition(y=y), x, generator("cpu", 1))
    chain, ends = run_through(
        SAMPLERS[name](), lambda rows: net.condition(y=y[rows]), x, generator("cpu", 1), n_chains, n_live
    )
    torch.testing.assert_close(chain.x, plain.x)
    torch.testing.assert_close(ends.detach(), plain.x[:n_chains])
    assert not chain.x.requires_grad
    assert chain.info is not None
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert net.training
    (ends**2).sum().backward()
    weights = [p for key, p in net.named_parameters() if key.endswith("original")]
    assert all(p.requires_grad for p in net.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)
