"""Chains through levels of noise: products, posteriors of noisy and of hidden components, against the truth."""

from collections.abc import Callable

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import Energy
from ebm_exp.energy.compose import Product
from ebm_exp.energy.posterior import Denoising, Inpainting
from ebm_exp.engine import Eager, Run
from ebm_exp.noise import Flow
from ebm_exp.random import Stream
from ebm_exp.sampler import MALA, Langevin, Sampler, Tempering
from ebm_exp.sampler.chain import Chain
from ebm_exp.sampling import Levels, fresh
from tests.noise.test_flow import Exact

CPU = torch.device("cpu")
DOMAIN = Domain(-1, 1, (2,))
NOISE = Flow()
N = 2000


@pytest.fixture
def data() -> Dataset:
    return Dataset(name="plane", domain=DOMAIN, train=torch.zeros(8, 2), test=torch.zeros(4, 2))


def mixture(means: list[list[float]], weights: list[float], std: float = 0.15) -> Exact:
    energy = Exact(torch.tensor(weights), torch.tensor(means), std)
    energy.noised = NOISE
    return energy


def levels(data: Dataset, sampler: Sampler | None = None, **settings: int | float) -> Levels:
    return Levels(sampler or MALA(4e-4, 10, DOMAIN), Eager(CPU), data, NOISE, **{"n_steps": 400} | settings)


def from_grid(energy: Energy, n: int) -> Tensor:
    """Points of exp(−E) by a table of cells of .004."""
    side = torch.linspace(-1.6, 1.6, 801)
    cells = torch.cartesian_prod(side, side)
    log_p = torch.cat([-energy(block) for block in cells.split(100_000)])
    g = torch.Generator().manual_seed(0)
    chosen = torch.multinomial((log_p - log_p.max()).exp().double(), n, replacement=True, generator=g)
    return cells[chosen] + 0.004 * (torch.rand(n, 2, generator=g) - 0.5)


def same(x: Tensor, y: Tensor) -> None:
    """Two-sample tests of both coordinates, and of two directions between."""
    for a, b in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)):
        assert ks_2samp(a * x[:, 0] + b * x[:, 1], a * y[:, 0] + b * y[:, 1]).pvalue > 1e-3


def test_a_product_of_densities_is_sampled_not_a_sum_of_velocities(data: Dataset) -> None:
    parts = [
        mixture([[-0.4, -0.2], [0.4, 0.4]], [0.5, 0.5], 0.35),
        mixture([[-0.3, 0.3], [0.4, 0.2], [0.4, -0.5]], [0.3, 0.4, 0.3], 0.3),
    ]
    sampling = levels(data)
    moving = Product([sampling.moved_by(part) for part in parts], [1, 1], [1, 1], 1)
    x = sampling.draw(moving, N, Stream(0)).x
    same(x, from_grid(Product([part.of_data() for part in parts], [1, 1], [1, 1], 1), N))


def test_the_ends_are_of_the_density_of_data(data: Dataset) -> None:
    energy = mixture([[-0.6, 0.0], [0.6, 0.3]], [0.25, 0.75])
    same(levels(data).draw(energy, N, Stream(0)).x, from_grid(energy.of_data(), N))


def test_a_noisy_point_has_the_posterior_of_bayes(data: Dataset) -> None:
    prior, std = torch.tensor([0.2, -0.1]), 0.3
    y = torch.tensor([0.8, 0.5]).expand(N, 2)
    noise_std = 0.4
    sampling = levels(data, t_first=NOISE.time_of(0.9 * noise_std))
    energy = Denoising(sampling.moved_by(mixture([prior.tolist()], [1.0], std)), noise_std, 1.0, NOISE)
    x = sampling.draw(energy, N, Stream(0), start=sampling.t_first * y, noisy=y).x
    gain = std**2 / (std**2 + noise_std**2)
    spread = (std**2 * (1 - gain)) ** 0.5
    t = NOISE.t_density
    torch.testing.assert_close(x.mean(0), t * (prior + gain * (y[0] - prior)), atol=4 * spread / N**0.5, rtol=0)
    expected = ((t * spread) ** 2 + (1 - t) ** 2) ** 0.5
    torch.testing.assert_close(x.std(0), torch.full((2,), expected), rtol=0.06, atol=0)


def test_hidden_components_follow_those_that_are_known(data: Dataset) -> None:
    energy = mixture([[-0.5, -0.6], [0.5, 0.3], [0.5, 0.8]], [0.4, 0.4, 0.2], 0.1)
    sampling = levels(data)
    hidden = Inpainting(sampling.moved_by(energy), torch.tensor([False, True]), NOISE)
    known = torch.tensor([0.5, 0.0]).expand(N, 2)
    z = torch.randn(N, 2, generator=torch.Generator().manual_seed(1))
    x = sampling.draw(hidden, N, Stream(0), known=known, z=z).x[:, 1]
    assert float((x < -0.2).float().mean()) == 0
    assert float((x > 0.55).float().mean()) == pytest.approx(1 / 3, abs=0.05)


def test_samples_do_not_depend_on_how_many_are_drawn(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    energy, sampling, seen = mixture([[0.0, 0.0]], [1.0]), levels(data, n_levels=3, n_steps=8), []
    many = sampling.draw(energy, 150, Stream(0), watch=lambda step, *rest: seen.append(step))
    assert seen == list(range(1, 9))
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 64 * 2)
    for other in (sampling.draw(energy, 16, Stream(0)), sampling.draw(energy, 150, Stream(0))):
        torch.testing.assert_close(many.x[: len(other.x)], other.x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "sampler",
    [MALA(4e-4, 10, DOMAIN), Langevin(4e-4, 10, DOMAIN), Tempering(Langevin(4e-4, 10, DOMAIN), 10, 2)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_steps_are_as_long_as_the_noise_is_wide(
    data: Dataset, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales, run = [], Eager.run

    def spied(engine: Eager, sampler: Sampler, target: object, x: Tensor, g: object, how: Run, **more: object) -> Chain:
        scales.append(how.scale[0])
        return run(engine, sampler, target, x, g, how, **more)

    monkeypatch.setattr(Eager, "run", spied)
    levels(data, sampler, n_levels=5, n_steps=5, n_adapt=0).draw(mixture([[0.0, 0.0]], [1.0]), 8, Stream(0))
    wide = torch.tensor([(1 - t) / 0.02 for t in NOISE.levels(5)])
    torch.testing.assert_close(torch.stack(scales), wide if isinstance(sampler, MALA) else wide**2)


def test_walls_of_the_domain_do_not_stand_in_the_noise(data: Dataset) -> None:
    sampler = MALA(4e-4, 10, DOMAIN)
    x = levels(data, sampler).draw(mixture([[0.95, 0.0]], [1.0]), 400, Stream(0)).x
    assert float((x[:, 0] > 1).float().mean()) > 0.2
    assert sampler.reflect


@pytest.mark.parametrize("around", [lambda kernel: kernel, lambda kernel: Tempering(kernel, 10, 2)])
def test_what_clamps_no_more_is_not_told_as_clamped(data: Dataset, around: Callable[[Sampler], Sampler]) -> None:
    sampler = around(Langevin(4e-4, 10, DOMAIN, clamp=True))
    assert levels(data, sampler).kernel() == f"{type(sampler).__name__}, temperature 1"
    assert sampler.clamped
    limited = around(Langevin(4e-4, 10, DOMAIN, clamp=True, gradient_clamp=0.1))
    assert "approximate where a clamp acts" in levels(data, limited).kernel()


def test_what_cannot_be_drawn_is_refused(data: Dataset) -> None:
    assert levels(data, n_steps=3).describe() == "3 steps through 3 levels from normal noise"
    with pytest.raises(ValueError, match=r"t_first: must be in \(0, 0.98\), before the last level, got 1"):
        levels(data, t_first=1.0)
    with pytest.raises(ValueError, match="sampling: levels needs an energy of time"):
        levels(data).draw(mixture([[0.0, 0.0]], [1.0]).of_data(), 4, Stream(0))
