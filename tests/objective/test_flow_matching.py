"""Flow matching: the loss, its gradient, its pairs; an exact potential has the least loss there is."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from ebm_exp.config.errors import UserError
from ebm_exp.energy import MLP, Encoder, Energy, UNet
from ebm_exp.energy.base import edges
from ebm_exp.engine import Eager
from ebm_exp.noise import Flow
from ebm_exp.noise.pairs import draw_pairs
from ebm_exp.objective import FlowMatching
from ebm_exp.random import generator, normal_like
from ebm_exp.regularization import GradientPenalty
from ebm_exp.trainer.build import build
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.noise.test_flow import MEANS, STD, WEIGHTS, Exact

CPU = torch.device("cpu")


def objective(**settings: object) -> FlowMatching:
    return FlowMatching(Eager(CPU), Flow(), {}, **settings)


def gradient_of(loss: torch.Tensor, energy: torch.nn.Module) -> torch.Tensor:
    gradients = torch.autograd.grad(loss, list(energy.parameters()), allow_unused=True)
    return torch.cat([
        (torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(gradients, energy.parameters(), strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"pairs": "transport"}, {"target": "equilibrium"}])
@pytest.mark.parametrize("kind", ["timed", "static", "conditional", "unet"])
def test_its_gradient_is_that_of_finite_differences(settings: dict, kind: str) -> None:
    torch.manual_seed(0)
    more = {"timed": kind != "static", "conditional": kind == "conditional", "n_classes": 3}
    if kind == "unet":
        energy: Energy = UNet((1, 6, 6), "norm", (3, 4), (1, 2), width=5, **more).double()
    else:
        energy = Encoder((1, 6, 6), (3, 4), (1, 2), width=5, **more).double()
    for p in energy.parameters():  # what is 0 at first too
        torch.nn.init.normal_(p, std=0.3)
    batch = Points(torch.randn(5, 1, 6, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1]))

    def loss() -> torch.Tensor:
        return objective(**settings)(energy, batch, 0, torch.Generator().manual_seed(1)).total()

    gradient, directions = gradient_of(loss(), energy), torch.Generator().manual_seed(2)
    parameters = list(energy.parameters())
    for _ in range(4):
        along = [torch.randn(p.shape, generator=directions, dtype=torch.float64) for p in parameters]
        ends = []
        for sign in (1, -1, -1, 1):
            with torch.no_grad():
                for p, d in zip(parameters, along, strict=True):
                    p += sign * 1e-5 * d
            ends.append(float(loss().detach()))
        slope = (ends[0] - ends[2]) / 2e-5
        expected = float(gradient @ torch.cat([d.flatten() for d in along]))
        assert slope == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_exact_potential_has_the_least_loss() -> None:
    exact, g = Exact(WEIGHTS, MEANS, STD), torch.Generator().manual_seed(0)
    which = torch.multinomial(WEIGHTS, 40000, replacement=True, generator=g)
    x = MEANS[which] + STD * torch.randn(40000, 2, dtype=torch.float64, generator=g)
    losses = []
    for factor in (0.9, 1.0, 1.1):
        scaled = type("Scaled", (Exact,), {"forward": lambda s, x, f=factor, **c: f * Exact.forward(s, x, **c)})
        energy = scaled(exact.weights, exact.means, exact.std)
        losses.append(float(objective()(energy, Points(x), 0, torch.Generator().manual_seed(1)).total()))
    assert losses[1] < min(losses[0], losses[2])
    assert losses[0] == pytest.approx(losses[2], rel=0.02)


def test_an_energy_of_time_needs_an_objective_that_gives_it() -> None:
    with pytest.raises(UserError, match=r"energy: needs t, which PCD does not give; energy\.timed=false needs none"):
        build(composed("energy=encoder", "energy.timed=true"))


def test_edges_of_an_activation_are_named() -> None:
    assert edges(MLP((2,), (4,))) == []
    assert edges(MLP((2,), (4,), torch.nn.LeakyReLU(0.2))) == ["LeakyReLU"]


def test_transport_makes_pairs_that_are_nearest_together() -> None:
    x = torch.randn(16, 1, 4, 4)
    z = normal_like(x, generator("cpu", 0))
    cost = torch.cdist(x.flatten(1), z.flatten(1)).square()
    rows, columns = linear_sum_assignment(cost)
    assert torch.equal(draw_pairs(x, generator("cpu", 0), "transport"), z[columns])
    assert torch.equal(draw_pairs(x, generator("cpu", 0), "random"), z)
    assert cost[rows, columns].sum() < cost.diagonal().sum()


def test_terms_of_data_alone_are_added_and_others_refused() -> None:
    with pytest.raises(ValueError, match="needs samples; objective=flow_matching has labels"):
        FlowMatching(Eager(CPU), Flow(), {"gradient_penalty": GradientPenalty(1.0, "between")})


def test_early_and_late_errors_make_up_the_loss() -> None:
    torch.manual_seed(0)
    energy, x = MLP((2,), (16,), timed=True, standard=Flow().standard), torch.randn(64, 2)
    loss = objective()(energy, Points(x), 0, torch.Generator().manual_seed(0))
    early, late = loss.metrics["train/error_early"], loss.metrics["train/error_late"]
    assert min(early, late) <= loss.total() <= max(early, late)
    assert loss.energies == {}


def test_a_share_of_the_labels_is_dropped() -> None:
    energy = Encoder((1, 6, 6), (3,), (1,), width=5, timed=True, conditional=True, no_label=True, n_classes=3)
    seen = []
    assert energy.conditions.classes is not None
    energy.conditions.classes.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    batch = Points(torch.randn(4000, 1, 6, 6), torch.randint(0, 3, (4000,)))
    objective(label_dropping=0.25)(energy, batch, 0, torch.Generator().manual_seed(1))
    (y,) = seen
    dropped = y == 3
    assert float(dropped.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(y[~dropped], batch.y[~dropped])


@pytest.mark.parametrize(
    "typed", [["objective.label_dropping=0.1"], ["energy.conditional=true", "energy.no_label=true"]]
)
def test_labels_are_dropped_for_an_energy_that_takes_none(typed: list[str]) -> None:
    with pytest.raises(UserError, match=r"energy\.no_label: true goes with objective.label_dropping > 0"):
        build(composed("experiment=flow", "dataset=digits", *typed))
