"""The attack never leaves its ball or the domain, and finds what can be found on a linear classifier."""

import math

import pytest
import torch

from ebm_exp.dataset import Synthetic
from ebm_exp.dataset.domain import Domain
from ebm_exp.energy import WideResNet
from ebm_exp.evaluator.pgd import pgd
from ebm_exp.random import generator
from tests.energy.test_joint import CPU

BOX = Domain(-1.0, 1.0, (1, 8, 8))
DATA = Synthetic("images", CPU, 0, shape=(1, 8, 8), classes=4)


def distance(a: torch.Tensor, norm: str) -> torch.Tensor:
    return a.flatten(1).norm(dim=1, p=math.inf if norm == "linf" else 2)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("radius", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("n_steps", [1, 10])
def test_it_stays_in_its_ball_and_in_the_domain(norm: str, radius: float, n_steps: int) -> None:
    torch.manual_seed(0)
    energy = WideResNet((1, 8, 8), (8, 8), (2, 2), n_classes=4).requires_grad_(False)
    x, y = DATA.test(100), DATA.test_labels[:100]
    y = torch.where(torch.arange(100) < 50, energy.logits(x).argmax(1), y)  # half of them are right at first
    end = pgd(energy.logits, x, y, DATA.domain, norm, radius, n_steps, generator(CPU, "test"))
    assert distance(end - x, norm).max() <= radius * (1 + 1e-5)
    assert end.min() >= -1
    assert end.max() <= 1
    wrong = energy.logits(x).argmax(1) != y
    assert torch.equal(end[wrong], x[wrong])
    assert (end[~wrong] != x[~wrong]).flatten(1).any(1).all()
    again = pgd(energy.logits, x, y, DATA.domain, norm, radius, n_steps, generator(CPU, "test"))
    assert torch.equal(again, end)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_a_linear_classifier_falls_at_its_margin(norm: str, dual: int) -> None:
    """Scores ±w·x/2: the class changes at the distance |w·x|/‖w‖ in the dual norm, away from the walls."""
    torch.manual_seed(0)
    w, x = torch.randn(64), torch.randn(200, 1, 8, 8) * 0.1
    margin = x.flatten(1) @ w
    far = margin.abs() / w.norm(p=dual)
    y = (margin > 0).long()

    def logits(x: torch.Tensor) -> torch.Tensor:
        half = x.flatten(1) @ w / 2
        return torch.stack([-half, half], 1)

    for radius in (0.5 * float(far.median()), 2 * float(far.median())):
        end = pgd(logits, x, y, BOX, norm, radius, 20, generator(CPU, "test"))
        fell = logits(end).argmax(1) != y
        assert not fell[far > radius * 1.001].any()
        assert fell[far < radius * 0.9].all()


def test_a_point_in_a_corner_is_pushed_along_the_walls_only() -> None:
    w = torch.ones(64)
    x = torch.full((3, 1, 8, 8), 1.0)

    def logits(x: torch.Tensor) -> torch.Tensor:
        half = x.flatten(1) @ w
        return torch.stack([half, -half], 1)

    y = torch.ones(3, dtype=torch.long)  # wrong from the beginning
    assert torch.equal(pgd(logits, x, y, BOX, "linf", 0.5, 5, generator(CPU, "test")), x)
    end = pgd(logits, x, 1 - y, BOX, "linf", 0.5, 5, generator(CPU, "test"))
    torch.testing.assert_close(end, torch.full_like(x, 0.5))
