"""Adam with clipped gradients: by hand, as torch's own where nothing is clipped, over a resume."""

import math

import pytest
import torch
from torch import nn

from ebm_exp.optimizer import ClippedAdam


def weights(n: int = 3) -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1, 1, n, dtype=torch.float64))


def steps(optimizer: torch.optim.Optimizer, p: nn.Parameter, gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    clipped = []
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
        clipped.append(p.grad.clone())
    return clipped


def test_bounds_by_hand() -> None:
    p, beta = weights(), 0.9
    optimizer = ClippedAdam([p], lr=0.1, betas=(0.0, beta), n_std=3.0, floor=0.1)
    g = torch.tensor([0.05, -5.0, 0.2], dtype=torch.float64)
    first, second = steps(optimizer, p, [g, g])
    torch.testing.assert_close(first, torch.tensor([0.05, -0.1, 0.1], dtype=torch.float64))
    v = (1 - beta) * first.square()  # after the first step; the second divides it by 1 − β²
    bound = 3 * (v / (1 - beta**2)).sqrt() + 0.1
    torch.testing.assert_close(second, torch.maximum(torch.minimum(g, bound), -bound))
    assert math.isclose(float(second[0]), 0.05)


def test_it_is_adam_where_nothing_is_clipped() -> None:
    gradients = [torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(10)]
    ours, theirs = weights(), weights()
    steps(ClippedAdam([ours], lr=0.01, betas=(0.5, 0.9), floor=100.0), ours, gradients)
    steps(torch.optim.Adam([theirs], lr=0.01, betas=(0.5, 0.9)), theirs, gradients)
    assert torch.equal(ours, theirs)


def test_a_wild_batch_moves_its_memory_little() -> None:
    calm = [0.01 * torch.ones(3, dtype=torch.float64)] * 20
    p = weights()
    optimizer = ClippedAdam([p], lr=0.01)
    steps(optimizer, p, [*calm, 1e6 * torch.ones(3, dtype=torch.float64)])
    assert optimizer.state[p]["exp_avg_sq"].max() < 1e-3


def test_a_resumed_optimizer_clips_the_same() -> None:
    gradients = [torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(8)]
    whole, half = weights(), weights()
    steps(ClippedAdam([whole], lr=0.01), whole, gradients)
    first = ClippedAdam([half], lr=0.01)
    steps(first, half, gradients[:4])
    second = ClippedAdam([half], lr=0.01)
    second.load_state_dict(first.state_dict())
    steps(second, half, gradients[4:])
    assert torch.equal(whole, half)


@pytest.mark.gpu
def test_a_step_asks_nothing_of_the_device() -> None:
    p = nn.Parameter(torch.ones(8, device="cuda"))
    optimizer = ClippedAdam([p])
    for i in range(3):
        p.grad = torch.ones_like(p)
        torch.cuda.set_sync_debug_mode("error" if i else "default")
        try:
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
