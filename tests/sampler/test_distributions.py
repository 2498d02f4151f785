"""Exact kernels have the exact distribution: on Gaussians, a mixture, a double well, also where walls reflect them.

From exact points (invariance) and from uniform ones (mixing); exact moments by quadrature; broken kernels are caught.
"""

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import DoubleWell, Energy, Gaussian, Mixture
from ebm_exp.random import generator
from ebm_exp.sampler import HMC, MALA, Annealed, Sampler, Tempering
from ebm_exp.sampler.hamiltonian import HamiltonianNoise
from tests.sampler.running import jump, run_chain

N = 20_000
WIDE, NARROW = Domain(-8, 8, (2,)), Domain(-0.7, 1.2, (2,))  # nothing of the targets is outside the wide one
TARGETS: dict[str, Callable[[], Energy]] = {
    "gaussian": lambda: Gaussian((2,)),
    "correlated": lambda: Gaussian((2,), mean=(0.5, -0.5), std=(1.0, 0.5), correlation=0.8),
    "mixture": lambda: Mixture((2,), centres=((-1.0, 0.0), (1.5, 0.5)), std=(0.5, 0.8), weights=(0.7, 0.3)),
    "double well": lambda: DoubleWell((2,), barrier=2.0, position=1.0, std=0.7),
}
MOMENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "x1": lambda x: x[:, 0],
    "x2": lambda x: x[:, 1],
    "x1²": lambda x: x[:, 0].square(),
    "x2²": lambda x: x[:, 1].square(),
    "x1·x2": lambda x: x[:, 0] * x[:, 1],
    "x1 > 0": lambda x: (x[:, 0] > 0).to(x.dtype),
    "cos 3x1": lambda x: (3 * x[:, 0]).cos(),
}


@functools.cache
@torch.no_grad()
def exact(
    target: str, domain: Domain, temperature: float, n: int = 1200
) -> tuple[Tensor, dict[str, tuple[float, float]]]:
    """N independent points of the distribution on the box, to the width of a cell; mean and deviation of each moment.

    By quadrature in float64 on the midpoints of n × n cells.
    """
    edges = torch.linspace(domain.low, domain.high, n + 1, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2)
    p = (-TARGETS[target]().double()(points).double() / temperature).softmax(0)
    moments = {}
    for name, moment in MOMENTS.items():
        on_grid = moment(points)
        mean = float((on_grid * p).sum())
        moments[name] = mean, math.sqrt(float((on_grid.square() * p).sum()) - mean**2)
    g, cumulative = generator("cpu", "exact", target), p.cumsum(0)
    index = torch.searchsorted(cumulative, torch.rand(N, generator=g, dtype=torch.float64) * cumulative[-1])
    cell = (domain.high - domain.low) / n
    x = points[index.clamp(max=len(points) - 1)] + cell * (torch.rand(N, 2, generator=g, dtype=torch.float64) - 0.5)
    return x.float(), moments


def worst(sampler: Sampler, target: str, domain: Domain, n_steps: int, start: str = "target", seed: int = 0) -> float:
    """The largest |z| of a moment after n steps, in standard errors of as many independent points.

    From exact points (invariance), or from uniform ones with burn-in (mixing).
    """
    g = generator("cpu", "laws", target, start, seed)
    points, moments = exact(target, domain, sampler.temperature or 1.0)
    n = N if start == "target" else N // 3  # what does not mix is far off
    x = points if start == "target" else domain.uniform(n, g)
    chain = run_chain(sampler, TARGETS[target](), x, g, n_steps, n_adapt=0 if start == "target" else n_steps // 2)
    assert ((chain.x >= domain.low) & (chain.x <= domain.high)).all()
    found = {name: float(moment(chain.x.double()).mean()) for name, moment in MOMENTS.items()}
    return max(abs(found[name] - mean) / (std / math.sqrt(n)) for name, (mean, std) in moments.items())


def data(domain: Domain) -> Dataset:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).clamp(domain.low, domain.high)
    return Dataset(name="points", domain=domain, train=x, test=x)


# Steps long enough that a tenth to a half of the trajectories is refused.
KERNELS: dict[str, Callable[[Domain], Sampler]] = {
    "mala": lambda box: MALA(0.8, 1, box),
    "mala, drift limit": lambda box: MALA(0.8, 1, box, drift_limit=0.3),
    "mala, T = .5": lambda box: MALA(0.8, 1, box, temperature=0.5),
    "hmc": lambda box: HMC(0.6, 1, box, n_leapfrog=3),
    "hmc, mass": lambda box: HMC(0.6, 1, box, n_leapfrog=3, mass=(0.5, 2.0), jitter=0.5),
    "jump": lambda box: jump(MALA(0.8, 1, box), 1, data(box), n_local=2),
    "jump, mixture": lambda box: jump(MALA(0.8, 1, box), 1, data(box), n_local=2, proposal="mixture"),
    "tempering": lambda box: Tempering(MALA(0.8, 1, box), 1, n_replicas=3, n_local=2),
    "annealed, at its end": lambda box: Annealed(MALA(0.8, 1, box), 1, cooling_steps=1, factor=1.0),
}


@pytest.mark.parametrize("box", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_target_is_invariant(kernel: str, target: str, box: Domain) -> None:
    assert worst(KERNELS[kernel](box), target, box, 12) < 5


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", ["mala", "hmc", "jump", "tempering"])
def test_chains_from_elsewhere_reach_it(kernel: str, target: str) -> None:
    box = Domain(-4, 4, (2,))
    assert worst(KERNELS[kernel](box), target, box, 200 if kernel in ("mala", "hmc") else 60, "uniform") < 5


class LoudNoise(MALA):
    """Noise off by √2."""

    def draw(self, generator, x):
        noise = super().draw(generator, x)
        return noise._replace(momentum=2**0.5 * noise.momentum)


class StuckMomentum(HMC):
    """The momentum is not drawn anew."""

    def draw(self, generator, x):
        same = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        return super().draw(generator, x)._replace(momentum=same)


class OneForAll(MALA):
    """One acceptance for the whole batch."""

    def step(self, energy, state, noise: HamiltonianNoise, control):
        moved, info = super().step(energy, state, noise._replace(accept=torch.zeros_like(noise.accept)), control)
        return (moved if noise.accept[0] < info.acceptance.mean() else state), info


class Forgetful(MALA):
    """A rejected proposal leaves its energy and gradient behind."""

    def step(self, energy, state, noise: HamiltonianNoise, control):
        proposed, _ = super().step(energy, state, noise._replace(accept=torch.zeros_like(noise.accept)), control)
        new, info = super().step(energy, state, noise, control)
        return new._replace(e=proposed.e, gradient=proposed.gradient), info


class NoRejection(MALA):
    """Every proposal is taken."""

    def step(self, energy, state, noise: HamiltonianNoise, control):
        return super().step(energy, state, noise._replace(accept=torch.zeros_like(noise.accept)), control)


BROKEN: dict[str, Sampler] = {
    "noise off by √2": LoudNoise(0.8, 1, WIDE),
    "momentum not redrawn": StuckMomentum(0.6, 1, WIDE, n_leapfrog=3),
    "one acceptance per batch": OneForAll(0.8, 1, WIDE),
    "state not restored on rejection": Forgetful(0.8, 1, WIDE),
    "nothing rejected": NoRejection(0.8, 1, WIDE),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_kernels_are_caught(name: str) -> None:
    """By the test above, with its own number of steps, on at least one of its targets."""
    assert max(worst(BROKEN[name], target, WIDE, 12) for target in TARGETS) > 5
