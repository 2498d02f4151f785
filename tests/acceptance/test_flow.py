"""Flow matching against the truth: velocities, noised densities, and the product of two runs."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebm_exp.dataset import Dataset
from ebm_exp.energy import MLP, Energy
from ebm_exp.energy.base import energy_gradient
from ebm_exp.energy.compose import Product
from ebm_exp.engine import Eager
from ebm_exp.noise import Flow
from ebm_exp.objective import FlowMatching
from ebm_exp.optimizer import Muon
from ebm_exp.random import Stream
from ebm_exp.sampler import HMC
from ebm_exp.trainer.ema import EMA
from ebm_exp.types import Points
from tests.noise.test_flow import Exact
from tests.sampling.test_levels import DOMAIN, from_grid, levels, same

CPU = torch.device("cpu")
NOISE = Flow("uniform")  # logit-normal times look at those near the data too rarely for a density there
N_STEPS, BATCH = 16_000, 1024
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
CELLS = 400

Truth = Callable[[], Exact]
TRUTHS: dict[str, Truth] = {
    "normal": lambda: Exact(torch.ones(1), torch.tensor([[0.3, -0.2]]), 0.4),
    "mixture": lambda: Exact(torch.tensor([0.3, 0.7]), torch.tensor([[-0.5, 0.1], [0.4, 0.6]]), 0.3),
    "another": lambda: Exact(torch.tensor([0.5, 0.3, 0.2]), torch.tensor([[-0.4, 0.3], [0.5, 0.4], [0.2, -0.5]]), 0.3),
}


def draw(truth: Exact, n: int, g: torch.Generator) -> Tensor:
    which = torch.multinomial(truth.weights, n, replacement=True, generator=g)
    return truth.means[which] + truth.std * torch.randn(n, 2, generator=g)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Energy]:
    """A network for each truth, averaged weights."""
    return {name: fit(truth()) for name, truth in TRUTHS.items()}


def fit(truth: Exact) -> Energy:
    torch.manual_seed(0)
    energy = MLP((2,), (128, 128, 128), timed=True, standard=NOISE.standard)
    objective = FlowMatching(Eager(CPU), NOISE, {})
    optimizer, average, g = Muon(energy.parameters()), EMA(energy, objective, 0.002), torch.Generator().manual_seed(1)
    rates = [group["lr"] for group in optimizer.param_groups]
    for step in range(N_STEPS):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - step / N_STEPS)
        optimizer.zero_grad()
        objective(energy, Points(draw(truth, BATCH, g)), step, g).total().backward()
        optimizer.step()
        average.update()
    average.energy.noised = NOISE
    return average.energy


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHS)
def test_the_velocity_is_the_exact_one_of_every_time(fitted: dict[str, Energy], name: str) -> None:
    truth, g = TRUTHS[name](), torch.Generator().manual_seed(2)
    for t in TIMES:
        times = torch.full((20_000,), t)
        x = NOISE.perturb(draw(truth, 20_000, g), times, torch.randn(20_000, 2, generator=g))
        _, found = energy_gradient(fitted[name].bind(t=times), x)
        _, exact = energy_gradient(truth.bind(t=times), x)
        error = float(((found - exact).square().mean() / exact.square().mean()).sqrt())
        print(f"{name}, t = {t}: relative error {error:.4f}")
        assert error <= 0.03


def cells(side: float = 1.8) -> tuple[Tensor, float]:
    edge = torch.linspace(-side, side, CELLS + 1)
    middle = (edge[1:] + edge[:-1]) / 2
    return torch.cartesian_prod(middle, middle), (2 * side / CELLS) ** 2


def kl(truth: Energy, model: Energy) -> float:
    """KL(exp(−truth) ‖ exp(−model)), both normalised on a grid, in nats."""
    points, area = cells()
    with torch.no_grad():
        log_p, log_q = (-torch.cat([e(block) for block in points.split(40_000)]).double() for e in (truth, model))
    log_p, log_q = (each - torch.logsumexp(each, 0) - math.log(area) for each in (log_p, log_q))
    return float((log_p.exp() * (log_p - log_q)).sum() * area)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRUTHS)
def test_its_density_is_that_of_the_noised_data(fitted: dict[str, Energy], name: str) -> None:
    truth = TRUTHS[name]()
    found = kl(NOISE.energy_at(truth, NOISE.t_density), fitted[name].of_data())
    print(f"{name}: KL of the density at t = {NOISE.t_density} {found:.4f} nats")
    assert found <= 0.05


@pytest.mark.slow
def test_a_product_of_two_runs_is_the_product_of_their_densities(fitted: dict[str, Energy]) -> None:
    names = ("mixture", "another")
    truth = Product([NOISE.energy_at(TRUTHS[n](), NOISE.t_density) for n in names], [1, 1], [1, 1], 1)
    model = Product([fitted[n].of_data() for n in names], [1, 1], [1, 1], 1)
    found = kl(truth, model)
    print(f"KL of the product {found:.4f} nats")
    assert found <= 0.05
    data = Dataset(name="plane", domain=DOMAIN, train=torch.zeros(8, 2), test=torch.zeros(4, 2))
    sampling = levels(data, HMC(0.02, 10, DOMAIN, n_leapfrog=5), n_steps=600)
    moving = Product([sampling.moved_by(fitted[n]) for n in names], [1, 1], [1, 1], 1)
    x = sampling.draw(moving, 1000, Stream(0)).x
    same(x, from_grid(model, 1000))
