"""Shells: the energy can be their exact density at every noise level, begins near one Gaussian, and learns."""

import math

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.dataset import Mixture
from ebm_exp.energy import Radial
from ebm_exp.energy.base import energy_gradient, slopes
from ebm_exp.noise import EDM, Flow, NoiseProcess
from ebm_exp.random import generator
from ebm_exp.trainer.build import build
from tests.config.test_conf import composed

CPU = torch.device("cpu")


def shells(d: int, n: int = 500) -> Mixture:
    weights = {"means": ((), ()), "stds": (0.4, 1.6), "weights": (0.3, 0.7)}
    return Mixture("mixture", CPU, 0, d, **weights, n_train=n, n_test=300)


def process(name: str, d: int) -> NoiseProcess:
    if name == "flow":
        return Flow()
    noise = EDM(shells(d))
    noise.load_state_dict({"mean": torch.zeros(d), "scale": 1.3})
    return noise


def of_time(noise: NoiseProcess) -> Radial:
    torch.manual_seed(0)
    return Radial(width=16, timed=True, standard=noise.standard)


class Truth(nn.Module):
    """n and m of the noised shells."""

    def __init__(self, data: Mixture, noise: NoiseProcess) -> None:
        super().__init__()
        self.data, self.noise = data, noise

    def forward(self, t: Tensor) -> Tensor:
        shown = self.noise.standard(t)
        variance = shown.variance
        if isinstance(self.noise, EDM):  # it shows points of variance 1, and of times their position
            least, most = sorted(self.noise.span)
            t = least * (most / least) ** t
            variance = self.noise.scale**2 + t**2
        each = self.noise.share(t)[:, None] ** 2 * self.data.stds**2 + self.noise.width(t)[:, None] ** 2
        n = (variance[:, None] / each).log()
        m = -n / 2 - (2 * self.data.weights).log() / self.data.event_shape[0]
        return torch.cat([n, m], 1) * (1 + shown.scale)[:, None]


@pytest.mark.parametrize("name", ["flow", "edm"])
def test_it_can_be_the_density_of_shells_at_every_level(name: str) -> None:
    data, noise = shells(8), process(name, 8)
    energy = of_time(noise).double()
    energy.network, energy.values = Truth(data, noise), nn.Parameter(torch.zeros(4, dtype=torch.float64))
    x, t = data.test().double(), noise.sample_wide(300, generator("cpu", 0), CPU).double()
    x = noise.perturb(x, t, torch.randn(x.shape, generator=generator("cpu", 1), dtype=torch.float64))
    log_p = data.log_prob_noised(x, noise.share(t), noise.width(t))
    torch.testing.assert_close(-noise.densities(energy)(x, t=t), log_p, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_without_time_it_begins_as_a_density_of_variances_around_one(k: int) -> None:
    side = torch.linspace(-12, 12, 4001)
    with torch.no_grad():
        p = (-Radial(k)(side[:, None])).exp() / math.sqrt(2 * math.pi)
    assert float(p.sum() * (side[1] - side[0])) == pytest.approx(1, abs=1e-4)
    assert 0.999 < float((p * side**2).sum() * (side[1] - side[0])) < 1.6


@pytest.mark.parametrize("name", ["flow", "edm"])
def test_of_time_it_begins_normalised_at_every_level(name: str) -> None:
    noise = process(name, 1)
    energy = noise.densities(of_time(noise))
    for t in noise.levels(5):
        width = 12 * math.hypot(1.3 * noise.share(t), noise.width(t))
        side = torch.linspace(-width, width, 4001)
        with torch.no_grad():
            p = (-energy(side[:, None], t=torch.full((4001,), t))).exp()
        assert float(p.sum() * (side[1] - side[0])) == pytest.approx(1, abs=0.02)  # but for the network's small weights


@pytest.mark.parametrize("name", ["flow", "edm"])
def test_it_is_finite_and_smooth_at_both_ends(name: str) -> None:
    noise = process(name, 3)
    energy = of_time(noise)
    here = slopes(energy, torch.randn(3, 3), torch.tensor([0.0, 0.4, 1.0]))
    assert all(bool(each.isfinite().all()) for each in here)
    (here.x.square().sum() + here.t[:2].square().sum()).backward()
    assert all(bool(p.grad.isfinite().all() and p.grad.abs().sum() > 0) for p in energy.parameters())


def test_bf16_changes_no_digit() -> None:
    energy = of_time(Flow())
    x, t = torch.randn(20, 1000), torch.rand(20)
    with torch.no_grad():
        e, gradient = energy_gradient(energy.bind(t=t), x)
        with torch.autocast("cpu", torch.bfloat16):
            there = energy_gradient(energy.bind(t=t), x)
    assert torch.equal(e, there[0])
    assert torch.equal(gradient, there[1])


def test_regression_on_the_score_finds_the_shells() -> None:
    data, width, energy = shells(8, 4000), 0.1, Radial()
    optimizer = torch.optim.Adam(energy.parameters(), 0.05)
    noised = data.train() + width * torch.randn(4000, 8, generator=generator("cpu", 0))
    score = data.score_noised(noised, 1.0, width)
    for i in range(150):
        x, aim = (each[400 * (i % 10) : 400 * (i % 10) + 400] for each in (noised, score))
        loss = (energy_gradient(energy, x.requires_grad_())[1] + aim).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 1e-3 * float(score.square().mean())
    with torch.no_grad():
        error = energy(noised) + data.log_prob_noised(noised, 1.0, width)
    assert float(error.std()) < 0.05  # nats


def test_it_is_timed_by_the_noise_of_the_experiment() -> None:
    config = composed("dataset=mixture", "dataset.n_train=64", "dataset.n_test=5", "energy=radial", "energy.timed=true",
                      "noise=edm", "objective=dsm", "normaliser=time_score")  # fmt: skip
    parts, experiment = build(config)
    assert experiment.energy.standard.__self__ is parts["noise"]
    with pytest.raises(ValueError, match="timed: needs a noise process"):
        Radial(timed=True)
