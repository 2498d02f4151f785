"""Muon: what is a matrix, its step by hand and by torch's own, Adam for the rest, over a resume."""

import pytest
import torch
from torch import Tensor, nn

from ebm_exp.optimizer import Muon
from ebm_exp.optimizer.muon import orthogonal


def parameter(*shape: int, seed: int = 0) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def gradients(p: nn.Parameter, n: int) -> list[Tensor]:
    return [torch.randn(p.shape, generator=torch.Generator().manual_seed(10 + i)) for i in range(n)]


def steps(optimizer: torch.optim.Optimizer, p: nn.Parameter, given: list[Tensor]) -> None:
    for g in given:
        p.grad = g.clone()
        optimizer.step()


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = parameter(*shape).detach().double()
    (turned,) = orthogonal([matrix])
    values = torch.linalg.svdvals(turned)
    assert values.min() > 0.6
    assert values.max() < 1.25
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    diagonal = u.T @ turned @ v.T
    torch.testing.assert_close(diagonal, torch.diag(diagonal.diag()), atol=1e-8, rtol=0)


def test_the_short_iteration_of_all_at_once_is_the_long_one_of_each() -> None:
    matrices = [parameter(*shape).detach().double() for shape in ((24, 90), (16, 20), (90, 24), (24, 24), (24, 30))]
    for matrix, found in zip(matrices, orthogonal(matrices), strict=True):
        x = matrix / matrix.norm()
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        torch.testing.assert_close(found, x, atol=1e-10, rtol=0)


@pytest.mark.parametrize("shape", [(32, 48), (64, 20)])
def test_a_matrix_moves_as_by_torch(shape: tuple[int, int]) -> None:
    ours, theirs = parameter(*shape), parameter(*shape)
    given = gradients(ours, 6)
    steps(Muon([ours], lr=0.02), ours, given)
    steps(torch.optim.Muon([theirs], lr=0.02, weight_decay=0.0), theirs, given)  # in bf16
    moved = ours - parameter(*shape)
    assert (ours - theirs).norm() < 0.03 * moved.norm()


def test_a_kernel_is_the_matrix_of_its_outputs() -> None:
    kernel, matrix = parameter(32, 8, 3, 3), nn.Parameter(parameter(32, 8, 3, 3).detach().flatten(1))
    given = gradients(kernel, 3)
    steps(Muon([kernel]), kernel, given)
    steps(Muon([matrix]), matrix, [g.flatten(1) for g in given])
    torch.testing.assert_close(kernel.flatten(1), matrix)


@pytest.mark.parametrize("shape", [(64,), (32, 1, 3, 3), (1, 128)])
def test_what_is_no_matrix_takes_steps_of_adam(shape: tuple[int, ...]) -> None:
    ours, theirs = parameter(*shape), parameter(*shape)
    given = gradients(ours, 4)
    steps(Muon([ours], adam_lr=1e-3, betas=(0.9, 0.99)), ours, given)
    steps(torch.optim.Adam([theirs], lr=1e-3, betas=(0.9, 0.99)), theirs, given)
    assert torch.equal(ours, theirs)


def test_a_group_with_its_own_rate_is_left_to_adam() -> None:
    matrix, own = parameter(32, 32), parameter(32, 32)
    optimizer = Muon([{"params": [matrix]}, {"params": [own], "lr": 0.5}], lr=0.02)
    assert [(group["matrices"], group["lr"]) for group in optimizer.param_groups] == [(True, 0.02), (False, 0.5)]


def test_a_layer_that_took_no_part_stays_and_gradients_are_kept() -> None:
    idle, active = parameter(32, 32), parameter(32, 32, seed=1)
    optimizer = Muon([idle, active])
    steps(optimizer, active, gradients(active, 1))
    assert torch.equal(idle, parameter(32, 32))
    assert active.grad is not None


def test_a_gradient_of_nothing_moves_nothing() -> None:
    p = parameter(32, 32)
    steps(Muon([p]), p, [torch.zeros(32, 32)])
    assert torch.equal(p, parameter(32, 32))


def test_a_resumed_optimizer_walks_the_same_path() -> None:
    whole, half = parameter(32, 32), parameter(32, 32)
    given = gradients(whole, 8)
    steps(Muon([whole]), whole, given)
    first = Muon([half])
    steps(first, half, given[:4])
    second = Muon([half])
    second.load_state_dict(first.state_dict())
    steps(second, half, given[4:])
    assert torch.equal(whole, half)


@pytest.mark.gpu
def test_a_step_asks_nothing_of_the_device() -> None:
    p, bias = nn.Parameter(torch.ones(32, 32, device="cuda")), nn.Parameter(torch.ones(32, device="cuda"))
    optimizer = Muon([p, bias])
    for i in range(3):
        p.grad, bias.grad = torch.randn_like(p), torch.ones_like(bias)
        torch.cuda.set_sync_debug_mode("error" if i else "default")
        try:
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
