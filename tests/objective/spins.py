"""A few spins, all of whose states can be listed: exact probabilities, and losses over all of them."""

import torch
from torch import Tensor, nn

from ebm_exp.dataset import Domain
from ebm_exp.energy import Energy
from ebm_exp.engine import Eager

ENGINE = Eager(torch.device("cpu"))


class Spins(Energy):
    """E(x) = −½ sᵀJs − h·s, s = 2x − 1 of points x in {0, 1}^d, in float64."""

    def __init__(self, d: int, seed: int = 0, size: float = 0.5) -> None:
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.pairs = torch.triu_indices(d, d, 1)
        self.j = nn.Parameter(size * torch.randn(self.pairs.shape[1], generator=g, dtype=torch.float64))
        self.h = nn.Parameter(size * torch.randn(d, generator=g, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        s = 2 * x.double() - 1
        return -(s[:, self.pairs[0]] * s[:, self.pairs[1]]) @ self.j - s @ self.h


def domain(d: int) -> Domain:
    return Domain(0, 1, (d,))


def states(d: int) -> Tensor:
    """All points ``[2^d, d]``; component i is the bit of 2^i."""
    return (torch.arange(2**d).unsqueeze(1) >> torch.arange(d) & 1).float()


def flipped(d: int) -> Tensor:
    """Which state differs in component i: ``[2^d, d]``."""
    return torch.arange(2**d).unsqueeze(1) ^ (1 << torch.arange(d))


def probabilities(energy: Spins, d: int) -> Tensor:
    return (-energy(states(d))).softmax(0)


def gradient(loss: Tensor, energy: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(energy.parameters()))])


def mean_and_error(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of independent values ``[n, …]``: mean and its standard error."""
    return values.mean(0), values.std(0) / len(values) ** 0.5
