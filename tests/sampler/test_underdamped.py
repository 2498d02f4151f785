"""BAOAB against its known errors."""

import math

import pytest
import torch

from ebm_exp.dataset import Domain
from ebm_exp.energy import Gaussian, Mixture
from ebm_exp.random import generator
from ebm_exp.sampler import Underdamped
from tests.sampler.running import run_chain

N = 40_000
LINE = Domain(-9, 9, (1,))


def variance_z(x: torch.Tensor, variance: float) -> float:
    return float((x.double().square().mean() / variance - 1) / math.sqrt(2 / x.numel()))


@pytest.mark.parametrize(("h", "temperature", "friction"), [(1.0, 1.0, 1.0), (1.5, 0.5, 0.3), (0.5, 2.0, 5.0)])
def test_the_gaussian_law_is_known(h: float, temperature: float, friction: float) -> None:
    """At unit stiffness x is exact and the momentum's variance is T(1 − h²/4)."""
    sampler = Underdamped(h, 40, LINE, temperature=temperature, friction=friction)
    x = math.sqrt(temperature) * torch.randn(N, 1, generator=generator("cpu", "x"))
    state = run_chain(sampler, Gaussian((1,)), x, generator("cpu", 0)).state
    assert abs(variance_z(state.x, temperature)) < 5
    assert abs(variance_z(state.p, temperature * (1 - h**2 / 4))) < 5


def test_elsewhere_the_error_is_of_second_order() -> None:
    """Two Gaussians: half of the step leaves a quarter of the error of E[x²], within the errors of the means."""
    energy = Mixture((1,), centres=((-1.2,), (1.2,)), std=0.7)
    n, truth = 4_000_000, 1.44 + 0.49
    errors = []
    for h in (0.8, 0.4):
        x = energy.sample(n, generator("cpu", "x"))
        end = run_chain(Underdamped(h, round(4 / h), LINE), energy, x, generator("cpu", 1)).x.double().square()
        errors.append(float(end.mean()) - truth)
    noise = float(end.std()) / math.sqrt(n)
    assert abs(errors[0]) > 5 * noise
    assert abs(errors[1] - errors[0] / 4) < 5 * noise


def test_walls_reflect() -> None:
    """A free trajectory in a box stays uniform."""
    box = Domain(0, 1, (1,))
    chain = run_chain(
        Underdamped(0.7, 30, box), lambda x: 0 * x.sum(1), box.uniform(N, generator("cpu", "x")), generator("cpu", 0)
    )
    assert float(chain.x.min()) >= 0
    assert float(chain.x.max()) <= 1
    assert abs(float(chain.x.mean()) - 0.5) < 5 * math.sqrt(1 / 12 / N)
    assert abs(variance_z(chain.x - 0.5, 1 / 12)) < 5


def test_burn_in_reaches_the_target() -> None:
    """And does a little better: while it changes, a step size costs some fidelity of its own."""
    energy = Gaussian((4,), std=(0.1, 0.2, 0.5, 1.0))
    fidelity = []
    run_chain(
        Underdamped(2.0, 1, Domain(-9, 9, (4,)), target_fidelity=0.95),
        energy, energy.sample(500, generator("cpu", "x")), generator("cpu", 0), 400,
        lambda step, state, info: fidelity.append(info.fidelity), n_adapt=300,
    )  # fmt: skip
    assert 0.95 < float(torch.stack(fidelity[300:]).mean()) < 0.99
