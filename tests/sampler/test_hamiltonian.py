"""The leapfrog trajectory itself, the adapted step size, and what is reported."""

import pytest
import torch

from ebm_exp.dataset import Domain
from ebm_exp.energy import Gaussian
from ebm_exp.random import generator
from ebm_exp.sampler import HMC, MALA
from ebm_exp.sampler.chain import draw_noise, start_control
from tests.sampler.running import run_chain

BOX = Domain(-2, 2, (3,))


def well(x: torch.Tensor) -> torch.Tensor:
    """No quadratic form, in the precision of x."""
    return (x.square() - 1).square().flatten(1).sum(1) + x[:, 0] * x[:, 1]


def trajectory(sampler: HMC, x: torch.Tensor, p: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        state = sampler.double().init(well, x)
        return sampler._leapfrog(well, state, p, torch.full((len(x), 1), epsilon, dtype=torch.float64), torch.ones(()))[
            :3
        ]


@pytest.mark.parametrize("drift_limit", [None, 0.1])
@pytest.mark.parametrize("mass", [1.0, (0.5, 1.0, 4.0)])
def test_a_trajectory_can_be_reversed(mass, drift_limit: float | None) -> None:
    """Also off the walls: many of these points leave the box."""
    sampler = HMC(0.1, 1, BOX, n_leapfrog=15, mass=mass, drift_limit=drift_limit)
    x = BOX.uniform(200, generator("cpu", "x")).double()
    p = 3 * torch.randn(200, 3, generator=generator("cpu", "p"), dtype=torch.float64)
    there, p_there, _ = trajectory(sampler, x, p, 0.1)
    back, p_back, _ = trajectory(sampler, there, -p_there, 0.1)
    assert float((there - x).abs().max()) > 1
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(p_back, -p, rtol=0, atol=1e-9)


def test_the_energy_error_is_of_second_order() -> None:
    """One trajectory of length 0.8 in 8, 16, 32 steps: each halving of ε divides the error by four."""
    x = torch.rand(400, 3, generator=generator("cpu", "x"), dtype=torch.float64) - 0.5
    p = torch.randn(400, 3, generator=generator("cpu", "p"), dtype=torch.float64)
    errors = []
    for n in (8, 16, 32):
        _, p_end, e_end = trajectory(HMC(0.1, 1, BOX, n_leapfrog=n, reflect=False), x, p, 0.8 / n)
        change = e_end - well(x) + (p_end.square() - p.square()).sum(1) / 2
        errors.append(float(change.square().mean().sqrt()))
    assert 3.9 < errors[0] / errors[1] < 4.1
    assert 3.9 < errors[1] / errors[2] < 4.1


def test_one_leapfrog_step_is_the_langevin_step() -> None:
    """x − (λ/2)∇E + √(λT) z, on the same numbers."""
    box = Domain(-9, 9, (3,))
    sampler = MALA(0.2, 1, box, temperature=0.25)
    x = torch.randn(20, 3, generator=generator("cpu", "x"))
    noise = draw_noise(sampler, generator("cpu", 0), x)._replace(accept=torch.zeros(20))
    control = start_control(sampler, 1.0, x.device)
    state, _ = sampler.step(Gaussian((3,)), sampler.init(Gaussian((3,)), x), noise, control)
    torch.testing.assert_close(state.x, x - 0.1 * x + (0.2 * 0.25) ** 0.5 * noise.momentum)


@pytest.mark.parametrize("start", [1e-3, 3.0])
@pytest.mark.parametrize("target", [0.5, 0.8])
def test_burn_in_finds_the_target_acceptance(start: float, target: float) -> None:
    """From steps far too short or long; afterwards the step size of each chain stays."""
    sampler = HMC(start, 1, Domain(-9, 9, (10,)), n_leapfrog=3, target_acceptance=target)
    energy = Gaussian((10,), std=tuple(0.5 + 0.1 * i for i in range(10)))
    acceptance, sizes = [], []

    def watch(step, state, info):
        acceptance.append(info.acceptance)
        sizes.append(info.step_size)

    run_chain(sampler, energy, energy.sample(500, generator("cpu", "x")), generator("cpu", 0), 300, watch, n_adapt=200)
    assert float(torch.stack(acceptance[200:]).mean()) == pytest.approx(target, abs=0.02)
    assert all(torch.equal(sizes[200], size) for size in sizes[201:])
    assert not torch.equal(sizes[199], sizes[200])


def test_training_learns_a_step_size() -> None:
    sampler = MALA(1e-2, 5, Domain(-9, 9, (2,)), target_acceptance=0.6)
    energy, x = Gaussian((2,)), Gaussian((2,)).sample(400, generator("cpu", "x"))
    for i in range(200):
        chain = run_chain(sampler, energy, x, generator("cpu", i))
        sampler.learn(chain.info)
        x = chain.x
    assert float(chain.info.metrics()["chain/acceptance"]) == pytest.approx(0.6, abs=0.06)
    twin = MALA(1e-4, 5, Domain(-9, 9, (2,)))
    twin.load_state_dict(sampler.state_dict())
    assert torch.equal(twin.log_step, sampler.log_step)


def test_each_chain_decides_for_itself() -> None:
    """A step that is hopeless for half of the chains does not hold the others."""
    energy = lambda x: (x[:, 0] > 0) * 1e4 * x[:, 0].square() + x.square().sum(1) / 2  # noqa: E731
    x = torch.cat([torch.full((50, 3), 1.0), torch.full((50, 3), -1.0)])
    chain = run_chain(MALA(0.01, 1, BOX), energy, x, generator("cpu", 0))
    moved = (chain.x != x).any(1)
    assert not moved[:50].any()
    assert moved[50:].float().mean() > 0.9


def test_a_trajectory_out_of_the_numbers_is_refused() -> None:
    x = torch.zeros(4, 3)
    energy = lambda x: torch.where(x[:, 0] == 0, x[:, 0], torch.nan * x[:, 0])  # noqa: E731
    chain = run_chain(MALA(0.1, 3, BOX), energy, x, generator("cpu", 0))
    assert torch.equal(chain.x, x)
    assert float(chain.info.metrics()["chain/acceptance"]) == 0


def test_a_mass_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="mass: must be one number or a list of 3, got 2"):
        HMC(0.1, 1, BOX, mass=(1.0, 2.0))
