"""Noise of growing width: its energies against the truth, its steps, and what it remembers of the data."""

import math
from itertools import pairwise

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain, Mixture
from ebm_exp.dataset.absent import Absent
from ebm_exp.energy import MLP
from ebm_exp.engine import Eager
from ebm_exp.noise import EDM
from ebm_exp.random import Stream, generator
from ebm_exp.sampler import MALA, Sampler
from ebm_exp.sampling import Flow, Levels
from tests.noise.exact import CPU, Exact, mixture


@pytest.fixture(scope="module")
def data() -> Mixture:
    return mixture()


def exact(noise: EDM, data: Mixture) -> Exact:
    """What is fitted to this process when nothing is left to learn."""
    energy = Exact(noise, data)
    energy.noised = noise
    return energy


def test_the_density_of_each_level_is_that_of_the_noised_data(data: Mixture) -> None:
    noise = EDM(data)
    sigma = noise.sample_wide(300, torch.Generator().manual_seed(1), CPU).double()
    x = noise.perturb(data.test(300).double(), sigma, torch.randn(300, 2).double())
    torch.testing.assert_close(noise.densities(exact(noise, data))(x, t=sigma), -data.log_prob_noised(x, 1.0, sigma))
    of_data = exact(noise, data).density()(x)
    torch.testing.assert_close(of_data, -data.log_prob_noised(x, 1.0, noise.t_density))


def test_nothing_but_the_gaussian_is_known_beforehand(data: Mixture) -> None:
    """E = 0 is N(m, σ² + s²), of the data's mean and the mean of their variances; there all noise begins."""
    noise = EDM(data)
    nothing = MLP((2,), (4,), timed=True, standard=noise.standard)
    torch.nn.init.zeros_(nothing.head.weight)
    torch.nn.init.zeros_(nothing.head.bias)
    x = data.train()
    torch.testing.assert_close(noise.mean, x.mean(0))
    assert noise.scale == pytest.approx(float(x.var(0).mean().sqrt()), rel=1e-3)
    for sigma in noise.span:
        normal = torch.distributions.Normal(noise.mean, math.hypot(sigma, noise.scale))
        found = noise.energy_at(nothing, sigma)(x)
        torch.testing.assert_close(found, -normal.log_prob(x).sum(1), rtol=1e-4, atol=1e-4)
    first = noise.begin(torch.randn(20000, 2, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(
        first.std(0), torch.full((2,), math.hypot(noise.span[0], noise.scale)), rtol=0.02, atol=0
    )


def test_training_looks_where_karras_and_others_look(data: Mixture) -> None:
    noise, g = EDM(data), torch.Generator().manual_seed(0)
    log_sigma = (noise.sample_t(20000, g, CPU) / noise.scale).log()
    assert float(log_sigma.mean()) == pytest.approx(-0.5, abs=0.03)
    assert float(log_sigma.std()) == pytest.approx(1.2, abs=0.03)
    wide = EDM(data, times="wide").sample_t(20000, g, CPU)
    assert noise.span[1] <= float(wide.min())
    assert float(wide.max()) <= noise.span[0]
    assert float(noise.position(wide).mean()) == pytest.approx(0.5, abs=0.01)


def test_a_course_has_the_steps_of_karras_and_others(data: Mixture) -> None:
    """Eighteen levels from 80 to .002, as their code prints them."""
    noise = EDM(data, sigma_max=80.0, sigma_min=0.002)
    noise.load_state_dict(noise.state_dict() | {"scale": 1.0})
    times, lengths = noise.course(17)
    assert [times[i] for i in (0, 1, 2, 3, 16, 17)] == pytest.approx([80, 57.586, 40.786, 28.375, 0.0075, 0.002], 5e-3)
    assert lengths == pytest.approx([b - a for a, b in pairwise(times)])
    with pytest.raises(ValueError, match=r"t_end: must be 1 with noise=edm"):
        noise.course(10, t_end=0.5)


@pytest.mark.parametrize("way", ["flow", "levels"])
def test_noise_becomes_data(data: Mixture, way: str) -> None:
    noise = EDM(data)
    if way == "flow":
        sampling: Flow | Levels = Flow(Eager(CPU), data, noise, n_steps=20)
    else:
        sampling = Levels(MALA(0.1, 1, data.domain), Eager(CPU), data, noise, n_levels=10, n_steps=100)
    x, truth = sampling.draw(exact(noise, data), 1500, Stream(0)).x, data.sample(20000, generator("cpu", "truth"))
    torch.testing.assert_close(x.mean(0), truth.mean(0), atol=0.1 * float(truth.std()), rtol=0)
    torch.testing.assert_close(x.T.cov(), truth.T.cov(), atol=0.1 * float(truth.var()), rtol=0)


def test_what_it_knows_of_the_data_outlives_them(data: Mixture) -> None:
    noise = EDM(data)
    state = noise.state_dict()
    facts = data.facts() | {"class_counts": []}
    without = Absent(facts, CPU, ValueError("the data are gone"))
    again = EDM(without, sigma_min=0.05)  # it may be looked at within other bounds, which are no other network's
    with pytest.raises(ValueError, match="the data are gone"):
        again.scale  # noqa: B018
    again.load_state_dict(state)
    energy = MLP((2,), (8,), timed=True, standard=noise.standard)
    x, sigma = torch.randn(20, 2), torch.full((20,), 0.3)
    assert torch.equal(again.densities(energy)(x, t=sigma), noise.densities(energy)(x, t=sigma))
    assert again.t_density == pytest.approx(0.05 * noise.scale)
    with pytest.raises(ValueError, match=r"sigma_min, sigma_max: must be within those of training, 0\.02 and 40"):
        EDM(without, sigma_min=0.01).load_state_dict(state)
    with pytest.raises(ValueError, match=r"mean: must be of shape \[2\], got \[3\]"):
        again.load_state_dict(state | {"mean": torch.zeros(3)})


def test_what_is_no_process_is_refused(data: Mixture) -> None:
    with pytest.raises(ValueError, match="sigma_min: must be below sigma_max, 1, got 2"):
        EDM(data, sigma_min=2.0, sigma_max=1.0)
    still = Dataset(name="one point", domain=Domain(-3, 3, (2,)), train=torch.ones(5, 2), test=torch.ones(2, 2))
    with pytest.raises(ValueError, match="noise=edm needs data that vary"):
        EDM(still).scale  # noqa: B018
    sampler: Sampler = MALA(0.1, 1, data.domain)
    with pytest.raises(ValueError, match=r"t_first: must be in \(0\.\d+, \d+\.?\d*\), before the last level"):
        Levels(sampler, Eager(CPU), data, EDM(data), t_first=0.001)


def test_terms_of_data_see_them_where_noise_is_least(data: Mixture) -> None:
    noise, x = EDM(data), data.train(5)
    seen, t = noise.of_no_noise(x)
    torch.testing.assert_close(seen, (x - noise.mean) / math.hypot(noise.t_density, noise.scale))
    torch.testing.assert_close(t, torch.zeros(5), atol=1e-6, rtol=0)
