"""Normalisers: the exact densities have the least loss, and a constant that changes with time costs what it must."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.energy import MLP, Energy
from ebm_exp.energy.base import slopes
from ebm_exp.engine import Eager
from ebm_exp.noise import EDM, Flow, NoiseProcess
from ebm_exp.normaliser import Levels, Normaliser, Seen, TimeScore
from ebm_exp.objective import FlowMatching
from ebm_exp.objective.matching import Normalised
from ebm_exp.random import generator
from ebm_exp.trainer.build import build
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.noise.exact import CPU, Exact, mixture, processes

DATA = mixture()


def shifted(noise: NoiseProcess, delta: float) -> Exact:
    """The truth times exp(−δ τ(t)), τ = t of ``noise=flow`` and log σ of ``noise=edm``."""
    return Exact(noise, DATA, lambda t: delta * (t if isinstance(noise, Flow) else t.log()))


def points(n: int) -> Tensor:
    return DATA.sample(n, generator("cpu", "points")).double()


def loss_of(normaliser: Normaliser, noise: NoiseProcess, energy: Energy, n: int = 20000) -> Tensor:
    """Of each point ``[n]``, at its own times."""
    data, g = points(n), torch.Generator().manual_seed(0)
    z, t = torch.randn(data.shape, generator=g).double(), normaliser.sample_t(noise, data, g)
    fit = noise.fit(data, t, z)
    seen = Seen(noise.perturb(data, t, z), t, data, z, slopes(energy, fit.x, fit.t))
    return normaliser.loss(energy, noise, seen, g).detach()


@pytest.mark.parametrize("process", ["flow", "edm"])
@pytest.mark.parametrize("make", [TimeScore, Levels])
def test_the_exact_densities_have_the_least_loss(make: Callable[[], Normaliser], process: str) -> None:
    noise = processes(DATA)[process]
    low, at, high = (loss_of(make(), noise, shifted(noise, delta)) for delta in (-0.5, 0.0, 0.5))
    for other in (low, high):
        rise = other - at
        assert float(rise.mean()) > 3 * float(rise.std()) / len(rise) ** 0.5
    tilt = high - low  # twice the slope at the exact densities: none
    assert abs(float(tilt.mean())) < 4 * float(tilt.std()) / len(tilt) ** 0.5


@pytest.mark.parametrize("process", ["flow", "edm"])
def test_a_constant_that_changes_costs_its_square(process: str) -> None:
    noise = processes(DATA)[process]
    low, at, high = (loss_of(TimeScore(), noise, shifted(noise, delta)) for delta in (-0.5, 0.0, 0.5))
    t = TimeScore().sample_t(noise, points(20000), _after_z())
    rate = noise.pace(t) if process == "flow" else torch.ones_like(t)  # pace · dτ/dt
    torch.testing.assert_close((low + high) / 2 - at, (0.5 * rate / 2).square(), atol=1e-4, rtol=1e-3)


def _after_z() -> torch.Generator:
    g = torch.Generator().manual_seed(0)
    torch.randn(20000, 2, generator=g)
    return g


def test_levels_without_an_idea_are_guessed() -> None:
    """Where all densities are the same, each of k times is as likely, in nats per dimension of 2."""
    found = loss_of(Levels(k=5), EDM(DATA), Same(EDM(DATA), DATA), 200)
    torch.testing.assert_close(found, torch.full_like(found, math.log(5) / 2))


class Same(Exact):
    """With Ẽ = 0."""

    def forward(self, x: Tensor, **context: Tensor) -> Tensor:
        most, least = self.noise.span
        sigma = least * (most / least) ** context["t"]
        normal = 0.5 * x.square().sum(1) + 0.5 * x.shape[1] * (2 * math.pi * (sigma**2 + self.noise.scale**2)).log()
        return -sigma / self.noise.scale * normal


def test_half_of_its_times_are_its_own() -> None:
    noise, x = Flow(), torch.zeros(20000, 2)
    t = TimeScore().sample_t(noise, x, generator("cpu", 0))
    assert float(t.max()) <= noise.t_density
    late = [float((each > 0.9).double().mean()) for each in (t, *(
        draw(20000, generator("cpu", 1), CPU) for draw in (noise.sample_t, noise.sample_wide)))]  # fmt: skip
    assert late[0] == pytest.approx((late[1] + late[2]) / 2, abs=0.01)
    assert late[0] > 5 * late[1]


@pytest.mark.parametrize("make", [TimeScore, Levels])
def test_it_is_at_work_after_a_share_of_the_steps(make: Callable[..., Normaliser]) -> None:
    normaliser = make(weight=2.0, after=0.25, n_steps=8)
    objective = FlowMatching(Eager(CPU), Flow(), {}, normaliser=normaliser)
    torch.manual_seed(0)
    energy, batch = MLP((2,), (8,), timed=True, standard=Flow().standard), Points(points(64).float())
    g = torch.Generator().manual_seed(0)
    assert [isinstance(objective.gather(energy, batch, step, g)[0], Normalised) for step in (0, 1, 2, 7)] == [
        *(False, False, True, True)
    ]
    terms = [{*objective(energy, batch, step, g).terms} for step in (1, 2)]
    assert terms == [{"flow_matching"}, {"flow_matching", normaliser.name}]
    once, twice = (
        FlowMatching(Eager(CPU), Flow(), {}, normaliser=make(weight=weight))(
            energy, batch, 0, torch.Generator().manual_seed(1)
        )
        for weight in (1.0, 2.0)
    )
    torch.testing.assert_close(2 * once.terms[normaliser.name], twice.terms[normaliser.name])
    assert torch.equal(once.terms["flow_matching"], twice.terms["flow_matching"])


TIMED = ("energy=mlp", "energy.timed=true", "objective=flow_matching")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ((*TIMED, "objective.pairs=transport"), r"^objective: pairs: must be random with a normaliser, got transport$"),
        ((*TIMED, "objective.target=equilibrium"), r"^objective: target: must be flow with a normaliser, got equil"),
        (("energy=mlp", "objective=flow_matching"), r"^normaliser: must be none for an energy without time \(energy\."),
        (("energy=mlp", "objective=dsm", "objective.form=single"), "^normaliser: must be none for an energy without"),
        ((*TIMED, "energy.conditional=true"), "^normaliser: must be none under labels, each of which has a constant"),
        (
            ("energy=mlp",),
            "^normaliser: goes with objective=dsm or flow_matching, PCD fits no noised data$",
        ),
    ],
)
def test_what_has_no_constant_for_all_times_is_refused(typed: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(composed("regularization=none", "normaliser=time_score", *typed))
