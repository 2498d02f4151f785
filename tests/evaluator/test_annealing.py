"""Annealed importance sampling where log Z is known: unbiased weights, honest errors, bounds from both sides."""

import math

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import Energy
from ebm_exp.energy.analytic import Gaussian, Mixture
from ebm_exp.evaluator.annealing import anneal, effective_size, log_mean, pilot, reverse
from ebm_exp.evaluator.paths import Box
from ebm_exp.random import generator
from ebm_exp.sampler import HMC, MALA
from ebm_exp.start import Independent, Start, Uniform

REPETITIONS, CHAINS = 100, 64
N = REPETITIONS * CHAINS


def data_of(domain: Domain) -> Dataset:
    x = (
        torch.zeros(100, *domain.event_shape)
        .normal_(generator=torch.Generator().manual_seed(0))
        .mul_(0.3)
        .clamp_(domain.low, domain.high)
    )
    return Dataset(name="points", domain=domain, train=x, test=x)


def on_a_box(d: int, std: float) -> float:
    """log Z of a round Gaussian on [−1, 1]^d."""
    return d * (math.log(std) + math.log(2 * math.pi) / 2 + math.log(math.erf(1 / std / math.sqrt(2))))


PLANE = Domain(-4, 4, (2,))
FOUR = tuple((a, b) for a in (-2.0, 2.0) for b in (-2.0, 2.0))
TARGETS: dict[str, tuple[Energy, Domain, float]] = {
    "gaussian": (
        Gaussian((2,), (0.5, -0.5), (0.5, 0.2), 0.7),
        PLANE,
        math.log(2 * math.pi * 0.5 * 0.2) + math.log(1 - 0.49) / 2,
    ),
    "mixture": (Mixture((2,), FOUR, 0.3, (1, 2, 3, 4)), PLANE, math.log(2 * math.pi)),
    "box": (Gaussian((32,), 0.0, 0.6), Domain(-1, 1, (32,)), on_a_box(32, 0.6)),
}


def exact(energy: Energy, domain: Domain, n: int) -> torch.Tensor:
    """Points of the target on the box, by rejection; of the round Gaussian, component by component."""
    g, found = generator("cpu", "exact"), torch.zeros(0, *domain.event_shape)
    if domain.event_shape == (32,):
        z = 0.6 * torch.randn(2 * n * 32, generator=g)
        return z[z.abs() <= 1][: n * 32].view(n, 32)
    while len(found) < n:
        x = energy.sample(n, g)  # type: ignore[operator]
        found = torch.cat([found, x[(x.abs() <= domain.high).all(1)]])
    return found[:n]


@pytest.mark.parametrize("name", TARGETS)
def test_intervals_cover_the_truth_and_bounds_hold(name: str) -> None:
    energy, domain, truth = TARGETS[name]
    base: Start = Uniform(data_of(domain))
    kernel = HMC(0.3, 1, domain, n_leapfrog=5)
    path = Box(energy, 1.0, base)
    schedule = pilot(kernel, path, base.draw(256, generator("cpu", "p")).x, 60, generator("cpu", "pilot"))
    g = generator("cpu", "anneal")
    forward = anneal(kernel, path, schedule, base.draw(N, g).x, g)
    back = anneal(kernel, path, reverse(schedule), exact(energy, domain, N), g)
    assert 0.4 < float(forward.acceptance) < 0.9
    each = [log_mean(log_w) for log_w in forward.log_w.view(REPETITIONS, CHAINS)]
    assert all(score.se is not None for score in each)
    covered = sum(abs(score.value - truth) <= 2 * (score.se or 0) for score in each)
    assert covered >= 86, covered
    lower, upper = log_mean(forward.log_w), log_mean(back.log_w)
    assert lower.se is not None
    assert upper.se is not None
    assert abs(lower.value - truth) < 4 * lower.se
    assert abs(-upper.value - truth) < 4 * upper.se
    values = torch.tensor([score.value for score in each])
    below = float(values.mean() - 3 * values.std() / math.sqrt(REPETITIONS))
    above = -torch.tensor([log_mean(w).value for w in back.log_w.view(REPETITIONS, CHAINS)])
    assert below <= truth <= float(above.mean() + 3 * above.std() / math.sqrt(REPETITIONS))


def test_a_base_near_the_target_gives_equal_weights() -> None:
    domain = Domain(-1, 1, (64,))
    data = data_of(domain)
    base = Independent(data)
    kernel = MALA(0.01, 1, domain)
    energy = Gaussian((64,), tuple(base.mean.tolist()), tuple(base.std.tolist()))
    path, g = Box(energy, 1.0, base), generator("cpu", 1)
    schedule = pilot(kernel, path, base.draw(64, g).x, 10, g)
    log_w = anneal(kernel, path, schedule, base.draw(128, g).x, g).log_w
    assert effective_size(log_w) == pytest.approx(128, rel=1e-4)
    z = float(base.log_peak)  # E is the base's own exponent: its log Z on the box
    assert log_mean(log_w).value == pytest.approx(z, abs=1e-3)


def test_temperature_and_schedule() -> None:
    """At T, E/T is the target; the pilot's β rise from 0 to 1 and are dense where the path is long."""
    domain = Domain(-4, 4, (2,))
    base, g = Uniform(data_of(domain)), generator("cpu", 2)
    energy = Gaussian((2,), 0.0, 0.5)
    kernel = HMC(0.3, 1, domain, n_leapfrog=5)
    for t in (0.25, 1.0):
        path = Box(energy, t, base)
        schedule = pilot(kernel, path, base.draw(256, g).x, 100, g)
        assert float(schedule.betas[0]) == 0
        assert float(schedule.betas[-1]) == 1
        assert bool((schedule.betas.diff() > 0).all())
        assert float(schedule.betas[10]) < 0.05  # .1 if it were even
        score = log_mean(anneal(kernel, path, schedule, base.draw(2000, g).x, g).log_w)
        assert score.se is not None
        assert abs(score.value - (math.log(2 * math.pi * 0.25 * t))) < 5 * score.se


def test_equal_seeds_give_equal_weights() -> None:
    energy, domain, _ = TARGETS["gaussian"]
    base, kernel = Uniform(data_of(domain)), HMC(0.3, 2, domain, n_leapfrog=3)
    runs = []
    for _ in range(2):
        g = generator("cpu", 3)
        path = Box(energy, 1.0, base)
        schedule = pilot(kernel, path, base.draw(64, g).x, 20, g)
        runs.append(anneal(kernel, path, schedule, base.draw(64, g).x, g).log_w)
    assert torch.equal(*runs)
