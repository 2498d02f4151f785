"""The loops that ours are timed beside do the same work: from the same noise, the same numbers."""

import pytest
import torch
from torch import Tensor

from benchmarks.bench import peak, slope
from benchmarks.published_loops import Flow, Settings, bare, du2019, du2021, plain
from ebm_exp.dataset import Domain
from ebm_exp.energy import IGEBM, MLP, Encoder, Energy, MultiScale
from ebm_exp.engine import Eager, Run
from ebm_exp.noise.flow import Flow as Straight
from ebm_exp.objective import FlowMatching
from ebm_exp.random import generator, normal_like
from ebm_exp.regularization import SpectralNorm
from ebm_exp.sampler import Langevin
from ebm_exp.types import Points

SHAPE = (1, 8, 8)
CPU = torch.device("cpu")
S = Settings(
    step_size=0.5,  # these two are float32 numbers, as in a control
    noise_std=0.125,
    n_steps=4,
    low=0.0,
    high=1.0,
    gradient_clamp=0.01,
    reinit=0.05,
    l2=1.0,
    entropy=None,
    clip=1.0,
    decay=None,
)
BOX = Domain(S.low, S.high, SHAPE)


def network(kind: type[Energy]) -> Energy:
    torch.manual_seed(0)
    channels = {MLP: {"widths": (16,)}, IGEBM: {"channels": (8,)}, MultiScale: {"channels": (8, 8, 8), "n_scales": 2}}
    energy = kind(SHAPE, **channels[kind])  # type: ignore[call-arg]
    energy = SpectralNorm().prepare(energy) if kind is IGEBM else energy
    return energy.double().to(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("kind", "theirs", "options"),
    [
        (MLP, bare, {}),
        (IGEBM, du2019, {"gradient_clamp": S.gradient_clamp, "noise_first": True}),
        (MultiScale, du2021, {"noise_first": True}),
    ],
)
def test_chains_are_the_same(kind: type[Energy], theirs: object, options: dict[str, object]) -> None:
    engine, energy = Eager(CPU), network(kind)
    x = BOX.uniform(6, generator(CPU, "start")).double()
    sampler = Langevin(S.step_size, S.n_steps, BOX, S.noise_std, clamp=True, **options)  # type: ignore[arg-type]
    ours = engine.run(sampler, engine.target(energy), x, generator(CPU, 0), Run(1.0)).x
    found = theirs(plain(energy).requires_grad_(False), x, S, generator(CPU, 0))  # type: ignore[operator]
    assert (ours - x).abs().mean() > 0.01
    torch.testing.assert_close(found, ours)


def test_ends_carry_the_same_gradient() -> None:
    engine, energy = Eager(CPU), network(MultiScale)
    x = BOX.uniform(6, generator(CPU, "start")).double()
    sampler = Langevin(S.step_size, S.n_steps, BOX, S.noise_std, noise_first=True, clamp=True)
    chain = engine.run(sampler, engine.target(energy), x, generator(CPU, 0), Run(1.0, through=1, through_chains=4))
    net = plain(energy)
    x_theirs, end = du2021(net, x, S, generator(CPU, 0), n_through=4)
    assert chain.end is not None
    torch.testing.assert_close(x_theirs, chain.x)

    def slopes(end: Tensor, of: Energy) -> list[Tensor]:
        return [
            g
            for g in torch.autograd.grad(end.square().sum(), list(of.parameters()), allow_unused=True)
            if g is not None
        ]

    for a, b in zip(slopes(end, net), slopes(chain.end, energy), strict=True):
        torch.testing.assert_close(a, b)


def test_flow_losses_are_the_same() -> None:
    torch.manual_seed(0)
    energy = Encoder(SHAPE, (8, 8), (1, 2), width=8, head_width=8, timed=True).double()
    x, noise = BOX.uniform(6, generator(CPU, "data")).double(), Straight()
    objective = FlowMatching(Eager(CPU), noise, {})
    ours = objective.loss(energy, Points(x), generator(CPU, 0)).total()
    g = generator(CPU, 0)
    z = normal_like(x, g)
    t = noise.sample_t(6, g, CPU).double()
    theirs = Flow(plain(energy), torch.optim.Adam(energy.parameters()), S).loss(x, z, t)
    torch.testing.assert_close(theirs, ours)


def test_memory_is_measured_and_does_not_grow_with_a_chain() -> None:
    engine, energy = Eager(CPU), MLP((64,), (32,))
    x = torch.rand(128, 64)
    sampler = Langevin(S.step_size, 1, Domain(0, 1, (64,)))

    def measure(k: int) -> int:
        return peak(lambda: engine.run(sampler, engine.target(energy), x, generator(CPU, 0), Run(1.0, k)), "cpu")

    short, long = measure(4), measure(40)
    assert x.nbytes < short < 20 * x.nbytes
    assert long == short
    assert peak(lambda: [torch.empty(1000) for _ in range(5)], "cpu") == 20_000


def test_slopes_are_those_of_powers() -> None:
    assert slope([0.0, 1.0, 2.0], [1.0, 3.0, 5.0]) == 2
