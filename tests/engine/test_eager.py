"""Targets follow their energy; chains with a graph are the chains without one, for every kernel."""

import copy
import gc
import weakref

import pytest
import torch
from torch.nn.utils import parametrize

from ebm_exp.energy import IGEBM, MLP, Energy, MultiScale
from ebm_exp.engine import Eager, Run
from ebm_exp.random import generator
from ebm_exp.regularization import SpectralNorm
from tests.sampler.running import run_chain
from tests.sampler.test_contract import BOX, CONTINUOUS, SAMPLERS

ENGINE = Eager(torch.device("cpu"))


def net() -> Energy:
    torch.manual_seed(0)
    return SpectralNorm().prepare(MLP((3,), (16,), conditional=True, n_classes=2))


@pytest.mark.parametrize(
    "energy",
    [
        lambda: SpectralNorm().prepare(IGEBM((1, 8, 8), (4, 8), dropout=0.5)),
        lambda: MultiScale((1, 8, 8), (8, 8, 16), 1, 2, 1),
    ],
)
def test_a_target_is_the_energy_at_rest_and_follows_it(energy) -> None:
    torch.manual_seed(0)
    live = energy()
    x = torch.randn(3, 1, 8, 8)
    target = ENGINE.target(live)
    for _ in range(2):
        expected = copy.deepcopy(live).eval()(x)
        assert torch.equal(target.bind()(x), expected)
        assert live.training
        with torch.no_grad():
            for p in live.parameters():
                p.add_(0.1 * torch.randn_like(p))
        assert ENGINE.target(live) is target
    assert not any(p.requires_grad for p in target.energy.parameters())
    assert all(p.requires_grad for p in live.parameters())
    assert not any(parametrize.is_parametrized(m) for m in target.energy.modules())
    assert any(parametrize.is_parametrized(m) for m in live.modules())


def test_a_target_does_not_keep_its_energy_alive_and_is_made_anew_when_weights_move() -> None:
    live = MLP((3,), (4,))
    first = ENGINE.target(live)
    live.double()
    assert ENGINE.target(live) is not first
    gone = weakref.ref(live)
    del live
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("through", [1, 4])
@pytest.mark.parametrize("n_chains", [10, 4])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_chains_through_are_the_same_chains(name: str, n_chains: int, through: int) -> None:
    energy, y = net(), torch.arange(10) % 2
    x = BOX.uniform(10, generator("cpu", "points"))
    before = {key: value.clone() for key, value in energy.state_dict().items()}
    plain = run_chain(SAMPLERS[name](), energy.bind(y=y), x, generator("cpu", 1))
    how = Run(1.0, through=through, through_chains=n_chains)
    chain = ENGINE.run(SAMPLERS[name](), ENGINE.target(energy), x, generator("cpu", 1), how, y=y)
    torch.testing.assert_close(chain.x, plain.x)
    torch.testing.assert_close(chain.end.detach(), plain.x[:n_chains])
    assert not chain.x.requires_grad
    assert chain.info is not None
    assert all(torch.equal(before[key], value) for key, value in energy.state_dict().items())
    assert energy.training
    (chain.end**2).sum().backward()
    weights = [p for key, p in energy.named_parameters() if key.endswith("original")]
    assert all(p.requires_grad for p in energy.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in weights)


def test_bf16_runs_chains_on_normed_energies() -> None:
    energy = net()
    x, y = BOX.uniform(10, generator("cpu", "points")), torch.arange(10) % 2
    chains = [
        Eager(torch.device("cpu"), precision).run(
            SAMPLERS["langevin"](), ENGINE.target(energy), x, generator("cpu", 1), Run(1.0), y=y
        )
        for precision in ("float32", "bf16")
    ]
    assert chains[1].x.dtype == torch.float32
    assert not torch.equal(chains[0].x, chains[1].x)
    torch.testing.assert_close(chains[0].x, chains[1].x, rtol=0, atol=0.02)


@pytest.mark.parametrize("name", SAMPLERS)
def test_chains_that_compare_energies_are_float32_also_in_bf16(name: str) -> None:
    """Rounded to bf16, energies of 50 nats are .2 apart, so at T = .01 few steps would be accepted, or all."""
    energy = net()
    with torch.no_grad():
        energy.head.bias += 50
    x, y = BOX.uniform(10, generator("cpu", "points")), torch.arange(10) % 2
    plain, rounded = (
        Eager(torch.device("cpu"), precision).run(
            SAMPLERS[name](), ENGINE.target(energy), x, generator("cpu", 1), Run(0.01, n_adapt=2), y=y
        )
        for precision in ("float32", "bf16")
    )
    assert torch.equal(plain.x, rounded.x) == ("langevin" not in name.lower() and name != "annealed, step size")
