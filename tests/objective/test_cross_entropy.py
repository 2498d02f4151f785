"""The likelihood of labels beside that of points, and alone."""

import pytest
import torch
from torch.nn import functional as F

from ebm_exp.buffer import InPlace
from ebm_exp.config.errors import UserError
from ebm_exp.dataset import Synthetic
from ebm_exp.energy import WideResNet
from ebm_exp.engine import Eager
from ebm_exp.objective import CD, PCD, Classification, CrossEntropy
from ebm_exp.regularization import EnergyL2, GradientPenalty
from ebm_exp.sampler import Langevin
from ebm_exp.start import Uniform
from ebm_exp.trainer.build import build
from tests.config.test_conf import composed

CPU = torch.device("cpu")
DATA = Synthetic("images", CPU, 0, shape=(1, 8, 8), classes=4)
ENGINE, LANGEVIN = Eager(CPU), Langevin(0.1, 3, DATA.domain)


def network() -> WideResNet:
    torch.manual_seed(0)
    return WideResNet((1, 8, 8), (8, 8), (2, 2), n_classes=4)


def gradients(energy: WideResNet, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(energy.parameters())))


def test_it_is_minus_log_p_of_the_labels() -> None:
    energy = network()
    buffer = InPlace(32, Uniform(DATA), DATA.domain, CPU, 0)
    objective = PCD(
        buffer,
        engine=ENGINE,
        sampler=LANGEVIN,
        regularization={},
        domain=DATA.domain,
        terms={"cross_entropy": CrossEntropy(2.0, True)},
    )
    batch = DATA.batch(0, 16, 0)
    loss = objective(energy, batch, 0, torch.Generator().manual_seed(0))
    p = energy.logits(batch.x).softmax(1)[torch.arange(16), batch.y]
    torch.testing.assert_close(loss.terms["cross_entropy"], -2 * p.log())
    right = (energy.logits(batch.x).argmax(1) == batch.y).float().mean()
    assert loss.metrics["train/accuracy"] == right
    # E(x⁺) of the data and −log p(y | x) together are the joint energy of points and labels.
    torch.testing.assert_close(loss.terms["cd"], energy(batch.x) - energy(loss.points["negatives"]))
    torch.testing.assert_close(energy(batch.x) - p.log(), energy(batch.x, y=batch.y))


@pytest.mark.parametrize("kind", [CD, PCD])
def test_chains_run_without_labels(kind: type) -> None:
    """Whether they start at points with labels or not, they are those of data that has none."""
    energy, batch = network(), DATA.batch(0, 16, 0)
    ends = []
    for points in (batch, batch._replace(y=None)):
        own = [InPlace(32, Uniform(DATA), DATA.domain, CPU, 0)] if kind is PCD else []
        objective = kind(*own, engine=ENGINE, sampler=LANGEVIN, regularization={}, domain=DATA.domain)
        loss = objective(energy, points, 0, torch.Generator().manual_seed(0))
        ends.append((loss.points["negatives"], loss.terms["cd"]))
    torch.testing.assert_close(ends[0], ends[1])


def test_alone_it_is_a_classifier_with_the_same_gradient() -> None:
    energy, batch = network(), DATA.batch(0, 16, 0)
    objective = Classification(ENGINE, {"energy_l2": EnergyL2(0.1)}, True)
    loss = objective(energy, batch, 0, torch.Generator())
    expected = F.cross_entropy(energy.logits(batch.x), batch.y) + 0.1 * energy(batch.x).square().mean()
    torch.testing.assert_close(loss.total(), expected)
    torch.testing.assert_close(gradients(energy, loss.total()), gradients(energy, expected))
    torch.testing.assert_close(loss.energies["data"], energy(batch.x).detach())
    assert 0 <= float(loss.metrics["train/accuracy"]) <= 1


def test_a_classifier_learns() -> None:
    energy = network()
    objective, optimizer = Classification(ENGINE, {}, True), torch.optim.Adam(energy.parameters(), 3e-3)
    for step in range(60):
        loss = objective(energy, DATA.batch(step, 64, 0), step, torch.Generator())
        optimizer.zero_grad()
        loss.total().backward()
        optimizer.step()
    assert float(loss.metrics["train/accuracy"]) > 0.9


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="cross_entropy needs an energy that classifies, as energy=joint does"):
        CrossEntropy()
    with pytest.raises(ValueError, match="classification needs an energy that classifies"):
        Classification(ENGINE, {})
    penalty = {"gradient_penalty": GradientPenalty(1.0, "between")}
    with pytest.raises(ValueError, match="gradient_penalty: needs samples; objective=classification has labels"):
        Classification(ENGINE, penalty, True)
    config = composed("objective=jem", "energy=mixture", "dataset=gaussian")  # its logits are those of weights
    with pytest.raises(UserError, match="needs an energy that classifies, as energy=joint does"):
        build(config)
    for objective in ("jem", "classification"):
        with pytest.raises(UserError, match="needs an energy that classifies, as energy=joint does"):
            build(composed(f"objective={objective}"))
