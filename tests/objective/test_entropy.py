"""The nearest-neighbour entropy: against distributions of known entropy, against brute force, at distance zero."""

import math

import pytest
import torch
from torch import Tensor

from ebm_exp.objective import Entropy
from ebm_exp.random import generator

N, M, D = 4000, 4000, 3


def gaussian(std: float) -> tuple[Tensor, float]:
    x = std * torch.randn(N + M, D, generator=generator("cpu", "gaussian"))
    return x, D * (math.log(2 * math.pi * math.e) / 2 + math.log(std))


def uniform(width: float) -> tuple[Tensor, float]:
    return width * torch.rand(N + M, D, generator=generator("cpu", "uniform")), D * math.log(width)


def two_gaussians(std: float) -> tuple[Tensor, float]:
    """So far apart that the entropy is that of one of them, and of the choice."""
    x, entropy = gaussian(std)
    side = (torch.rand(N + M, 1, generator=generator("cpu", "side")) < 0.5).float()
    return x + 100 * side, entropy + math.log(2)


DISTRIBUTIONS = [gaussian(0.1), uniform(1.0), gaussian(0.5), two_gaussians(0.5), gaussian(1.0), uniform(8.0)]


def nats(x: Tensor, k: int) -> tuple[float, float]:
    """The full estimate with its constant (Kozachenko & Leonenko), and its standard error."""
    log_r = D * Entropy(k=k, bank_size=M, eps=1e-9).log_r(x[:N].double(), x[N:].double())
    volume = math.pi ** (D / 2) / math.gamma(D / 2 + 1)
    constant = math.log(volume) + float(torch.digamma(torch.tensor(float(M))) - torch.digamma(torch.tensor(float(k))))
    return float(log_r.mean()) + constant, float(log_r.std()) / math.sqrt(N)


@pytest.mark.parametrize("k", [1, 4])
def test_laws_of_known_entropy(k: int) -> None:
    """Values to five standard errors and the estimate's bias at the edge of a support; and their order."""
    found = [nats(x, k) for x, _ in DISTRIBUTIONS]
    exact = [entropy for _, entropy in DISTRIBUTIONS]
    assert exact == sorted(exact)
    for (value, error), known in zip(found, exact, strict=True):
        assert abs(value - known) < 5 * error + 0.1
    values = [value for value, _ in found]
    assert values == sorted(values)


def test_against_brute_force() -> None:
    x, bank = (torch.randn(n, 1, 8, 8, generator=generator("cpu", n), dtype=torch.float64) for n in (20, 30))
    for k in (1, 2, 30):
        distance = torch.cdist(x.flatten(1), bank.flatten(1)).sort(1).values[:, k - 1]
        torch.testing.assert_close(Entropy(k=k, bank_size=30, eps=1e-9).log_r(x, bank), distance.log())


def test_a_chain_that_equals_a_bank_item() -> None:
    bank = torch.rand(16, 3, 32, 32, generator=generator("cpu", 0))
    x = bank[:4].clone().requires_grad_()
    log_r = Entropy(bank_size=16, eps=1e-3).log_r(x, bank)
    torch.testing.assert_close(log_r, torch.full((4,), math.log(1e-3)))
    log_r.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))
    near = (bank[:4] + 1e-4).requires_grad_()
    Entropy(bank_size=16, eps=1e-3).log_r(near, bank).sum().backward()
    assert near.grad.isfinite().all()
    assert near.grad.flatten(1).norm(dim=1).max() <= 0.5 / 1e-3 * (1 + 1e-5)  # r/(r² + ε²) ≤ 1/2ε


def test_no_gradient_reaches_the_bank() -> None:
    x, bank = torch.rand(4, 2, requires_grad=True), torch.rand(9, 2)
    Entropy(bank_size=9).log_r(x, bank).sum().backward()
    assert x.grad.abs().sum() > 0


def test_it_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="k: must be at most bank_size, 10, got 11"):
        Entropy(k=11, bank_size=10)
    assert Entropy(bank_size=100, min_filled=5).min_filled == 99  # a bank must be there to draw
