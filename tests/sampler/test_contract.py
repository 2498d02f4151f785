"""What every sampler keeps to. A new sampler joins by one line in SAMPLERS."""

from collections.abc import Callable

import pytest
import torch
from torch.utils import _pytree as pytree

from ebm_exp.dataset import Domain, Synthetic
from ebm_exp.energy import MLP
from ebm_exp.metrics import METRICS, SWAPPED
from ebm_exp.random import CHUNK, generator
from ebm_exp.regularization import SpectralNorm
from ebm_exp.sampler import (
    HMC,
    MALA,
    Annealed,
    Control,
    GibbsWithGradients,
    Langevin,
    Sampler,
    Tempering,
    Underdamped,
)
from ebm_exp.sampler.chain import draw_noise, start_control
from tests.sampler.running import jump, run_chain

BOX = Domain(-1, 1, (3,))
DATA = Synthetic("synthetic", torch.device("cpu"), 0, shape=(3,), classes=2, n_train=200, n_test=10)
SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "langevin": lambda: Langevin(0.1, 4, BOX),
    "langevin, noise first, clamps": lambda: Langevin(
        0.1, 4, BOX, noise_std=0.3, noise_first=True, gradient_clamp=0.1, clamp=True
    ),
    "langevin, decaying step": lambda: Langevin(0.1, 4, BOX, decay_exponent=0.5, decay_offset=2.0),
    "mala": lambda: MALA(0.1, 4, BOX, drift_limit=1.0),
    "hmc": lambda: HMC(0.2, 4, BOX, n_leapfrog=3, mass=(1.0, 2.0, 4.0)),
    "underdamped": lambda: Underdamped(0.2, 4, BOX),
    "jump": lambda: jump(MALA(0.1, 1, BOX), 4, DATA, n_local=2),
    "jump, mixture": lambda: jump(Langevin(0.1, 1, BOX), 4, DATA, proposal="mixture", n_components=2),
    "annealed": lambda: Annealed(MALA(0.1, 1, BOX), 4, cooling_steps=2),
    "annealed, step size": lambda: Annealed(Langevin(0.1, 1, BOX), 4, cooling_steps=2, ladder="step_size"),
    "tempering": lambda: Tempering(HMC(0.2, 1, BOX, n_leapfrog=2), 4, n_replicas=3, n_local=2),
    "gibbs with gradients": lambda: GibbsWithGradients(4, BOX),
}
CONTINUOUS = [name for name in SAMPLERS if "gibbs" not in name]


@pytest.fixture(params=SAMPLERS)
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return SAMPLERS[request.param]()


@pytest.fixture
def energy() -> MLP:
    torch.manual_seed(0)
    return SpectralNorm().prepare(MLP((3,), (16,)))


def points(n: int = 10) -> torch.Tensor:
    return BOX.uniform(n, generator("cpu", "points"))


def test_shape_dtype_and_no_graph(sampler: Sampler, energy: MLP) -> None:
    start = points().requires_grad_()
    chain = run_chain(sampler, energy, start, generator("cpu", 0))
    assert chain.x.shape == (10, 3)
    assert chain.x.dtype == torch.float32
    assert not chain.x.requires_grad
    assert torch.equal(start, points())
    for name, value in chain.info.metrics().items():
        assert name in METRICS or SWAPPED.holds(name)
        assert value.shape == ()
        assert value.isfinite()


def test_same_noise_same_chain(sampler: Sampler, energy: MLP) -> None:
    a, b, c = (run_chain(sampler, energy, points(), generator("cpu", key)).x for key in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_global_generator_is_left_alone(sampler: Sampler, energy: MLP) -> None:
    before = torch.get_rng_state()
    run_chain(sampler, energy, points(), generator("cpu", 0))
    assert torch.equal(before, torch.get_rng_state())


def test_chunks_make_chains_independent_of_the_batch(sampler: Sampler, energy: MLP) -> None:
    def chains(n: int) -> torch.Tensor:
        generators = [generator("cpu", "chunk", i) for i in range(-(-n // CHUNK))]
        return run_chain(sampler, energy, points(150)[:n], generators).x

    whole = chains(150)
    torch.testing.assert_close(whole[:16], chains(16), rtol=0, atol=1e-6)
    torch.testing.assert_close(whole[:70], chains(70), rtol=0, atol=1e-6)


def test_nothing_of_the_energy_moves(sampler: Sampler, energy: MLP) -> None:
    energy.train()
    before = {k: v.clone() for k, v in energy.state_dict().items()}
    run_chain(sampler, energy, points(), generator("cpu", 0))
    assert all(torch.equal(before[k], v) for k, v in energy.state_dict().items())
    assert energy.training
    assert all(p.requires_grad and p.grad is None for p in energy.parameters())


def test_state_and_info_are_tuples_of_tensors(sampler: Sampler, energy: MLP) -> None:
    chain = run_chain(sampler, energy, points(), generator("cpu", 0), n_adapt=2)
    leaves = [leaf for leaf in pytree.tree_leaves((chain.state, chain.info)) if leaf is not None]
    assert leaves
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)


def test_control_rules_temperature_and_step(energy: MLP) -> None:
    """Langevin's noise is √(λ s T): four times the temperature is twice the noise; [batch] and [] agree."""
    sampler, x = Langevin(0.1, 1, BOX), points()
    flat = lambda x: 0 * x.sum(1)  # noqa: E731
    noise = draw_noise(sampler, generator("cpu", 0), x)
    moves = []
    for t, scale in ((1.0, 1.0), (4.0, 1.0), (1.0, 4.0)):
        for shape in ((), (len(x),)):
            control = Control(torch.full(shape, t), torch.full(shape, scale))
            moves.append(sampler.step(flat, sampler.init(flat, x), noise, control)[0].x - x)
    for i, factor in enumerate((1, 1, 2, 2, 2, 2)):
        torch.testing.assert_close(moves[i], factor * moves[0])


def test_callback_sees_every_step(sampler: Sampler, energy: MLP) -> None:
    seen = []
    run_chain(sampler, energy, points(), generator("cpu", 0), 3, lambda i, state, info: seen.append((i, state.x)))
    assert [i for i, _ in seen] == [1, 2, 3]
    assert not torch.equal(seen[0][1], seen[1][1])


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_step_carries_a_graph_when_gradients_are_enabled(name: str, energy: MLP) -> None:
    x, sampler = points(), SAMPLERS[name]()
    with torch.no_grad():
        noise = draw_noise(sampler, generator("cpu", 0), x)
    control = start_control(sampler, 1.0, x.device)
    state, _ = sampler.step(energy, sampler.init(energy, x), noise, control)
    state.x.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in energy.parameters())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_chain_of_no_steps_stays(name: str, energy: MLP) -> None:
    sampler = SAMPLERS[name]()
    assert torch.equal(run_chain(sampler, energy, points(), generator("cpu", 0), 0).x, points())
