"""Pseudo-likelihood and ratio matching against all states of eight spins."""

import pytest
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.objective import PseudoLikelihood, RatioMatching
from ebm_exp.regularization import EnergyL2, GradientPenalty
from ebm_exp.trainer.build import build
from ebm_exp.types import Points
from tests.config.test_conf import composed
from tests.objective.spins import ENGINE, Spins, domain, flipped, gradient, mean_and_error, probabilities, states

D = 8
KINDS = (PseudoLikelihood, RatioMatching)


def per_point(kind: type, energy: Spins, x: Tensor, seed: int = 0, **settings: object) -> Tensor:
    objective = kind(ENGINE, {}, domain(D), **settings)
    return objective(energy, Points(x), 0, torch.Generator().manual_seed(seed)).terms[kind.name]


def exact(kind: type, energy: Spins) -> Tensor:
    """The loss at every state by its definition, from probabilities."""
    p = probabilities(energy, D)
    p_flipped = p[flipped(D)]
    if kind is PseudoLikelihood:
        return -(p.unsqueeze(1) / (p.unsqueeze(1) + p_flipped)).log().sum(1)
    return (1 / (1 + p.unsqueeze(1) / p_flipped)).square().sum(1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_and_its_gradient_are_those_of_the_definition(kind: type) -> None:
    energy, of_data = Spins(D, seed=1), probabilities(Spins(D, seed=2), D).detach()
    got, expected = per_point(kind, energy, states(D)), exact(kind, energy)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(gradient((of_data * got).sum(), energy), gradient((of_data * expected).sum(), energy))


@pytest.mark.parametrize("kind", KINDS)
def test_the_true_model_has_no_gradient_and_is_found(kind: type) -> None:
    truth = Spins(D, seed=2)
    of_data = probabilities(truth, D).detach()
    assert float(gradient((of_data * per_point(kind, truth, states(D))).sum(), truth).abs().max()) < 1e-10
    energy = Spins(D, seed=3)
    optimizer = torch.optim.LBFGS(
        energy.parameters(), max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (of_data * per_point(kind, energy, states(D))).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    for found, true in zip(energy.parameters(), truth.parameters(), strict=True):
        torch.testing.assert_close(found, true, atol=1e-3, rtol=0)


def test_ratio_matching_fits_the_ratios_of_the_data() -> None:
    """Up to a constant it is the mean squared error of all g(p(x)/p(x₍ᵢ₎)), Hyvärinen's definition."""
    p = probabilities(Spins(D, seed=2), D).detach()

    def g(q: Tensor) -> Tensor:
        return 1 / (1 + q.unsqueeze(1) / q[flipped(D)])

    differences = []
    for seed in (3, 4):
        energy = Spins(D, seed)
        error = (p * (g(p) - g(probabilities(energy, D).detach())).square().sum(1)).sum()
        differences.append((p * per_point(RatioMatching, energy, states(D)).detach()).sum() - error)
    torch.testing.assert_close(differences[0], differences[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_subset_of_flips_has_the_same_mean(kind: type) -> None:
    energy, n = Spins(D, seed=1), 20_000
    x = states(D)[[37]]
    mean, error = mean_and_error(per_point(kind, energy, x.expand(n, -1), seed=5, n_bits=3).detach())
    assert abs(float(mean - per_point(kind, energy, x)[0])) < 5 * float(error)
    near = kind(ENGINE, {}, domain(D), n_bits=3).neighbours(x.expand(n, -1), torch.Generator().manual_seed(0))
    flips = (near != x).float()
    assert (flips.sum(2) == 1).all()  # one each
    assert (flips.sum(1) <= 1).all()  # and never the same twice
    share, se = mean_and_error(flips.sum(1))
    assert ((share - 3 / D).abs() < 5 * se).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_energy_is_chance(kind: type) -> None:
    objective = kind(ENGINE, {}, domain(D), n_bits=5)
    loss = objective(Spins(D, size=0.0), Points(states(D)), 0, torch.Generator())
    assert float(objective.signals(loss)["unexplained"]) == pytest.approx(1)


def test_terms_read_the_data_alone() -> None:
    energy, x = Spins(D), states(D)
    loss = PseudoLikelihood(ENGINE, {"l2": EnergyL2(0.1)}, domain(D))(energy, Points(x), 0, torch.Generator())
    torch.testing.assert_close(loss.terms["l2"], 0.1 * energy(x).square())
    with pytest.raises(ValueError, match="needs samples; objective=ratio_matching has labels"):
        RatioMatching(ENGINE, {"gradient_penalty": GradientPenalty(1.0, "samples")}, domain(D))


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="n_bits: must be at most 8, the components of a point, got 9"):
        PseudoLikelihood(ENGINE, {}, domain(D), n_bits=9)
    with pytest.raises(UserError, match=r"objective: needs points of two levels \(dataset=binary_digits\), the data"):
        build(composed("objective=pseudo_likelihood"))
