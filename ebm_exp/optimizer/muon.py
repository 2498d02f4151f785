"""Muon: momentum whose matrices are orthogonalised (Jordan et al. 2024, "Muon: An optimizer for hidden layers").

For each matrix of weights, W ← W − lr · max(1, n_out/n_in)^½ · O(M), M the Nesterov momentum of its gradient and O the
nearest matrix whose singular values are all about 1, so every direction of a layer moves alike. All other parameters
take Adam's steps.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ebm_exp.part import Part
from ebm_exp.types import Positive, PositiveInt, Probability

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that brings singular values in (0, 1] near 1 (Jordan et al.)
SMALLEST = 16  # rows and columns that make a matrix; below, there is little to orthogonalise


class Muon(torch.optim.Adam, Part):
    """Orthogonalised momentum for matrices, Adam for the rest.

    Kernels of convolutions are matrices ``[out, in · k · k]``. A weight with fewer than 16 rows or columns (a stem, the
    last layer), a bias, and a group that brings its own ``lr`` are Adam's.

    Args:
        params: what to train: parameters, or groups of them.
        lr: learning rate of matrices, a share of a layer's scale.
        momentum: of matrices.
        n_iterations: of the quintic.
        adam_lr: learning rate of all others.
        betas: shares of the past in Adam's means of g and g².
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: Positive = 0.02,
        momentum: Probability = 0.95,
        n_iterations: PositiveInt = 5,
        adam_lr: Positive = 2e-3,
        betas: tuple[Probability, Probability] = (0.9, 0.99),
    ) -> None:
        groups: list[dict[str, Any]] = []
        for group in _groups(params):
            matrices = [p for p in group["params"] if _is_matrix(p) and "lr" not in group]
            others = [p for p in group["params"] if all(p is not m for m in matrices)]
            groups += [group | {"params": matrices, "lr": lr, "matrices": True}] if matrices else []
            groups += [{"lr": adam_lr} | group | {"params": others, "matrices": False}] if others else []
        super().__init__(groups, lr=adam_lr, betas=betas)
        self.momentum, self.n_iterations = momentum, n_iterations

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both kinds; no host synchronisation."""
        gradients = []
        for group in self.param_groups:
            matrices = [(p, p.grad) for p in group["params"] if p.grad is not None] if group["matrices"] else []
            turned = orthogonal([self._averaged(p, gradient) for p, gradient in matrices], self.n_iterations)
            for (p, _), direction in zip(matrices, turned, strict=True):
                n_out, n_in = direction.shape
                p.add_(direction.view_as(p), alpha=-group["lr"] * max(1.0, n_out / n_in) ** 0.5)
                p.grad = None  # Adam passes it by
            gradients += matrices
        result = super().step(closure)
        for p, gradient in gradients:
            p.grad = gradient
        return result

    def _averaged(self, p: nn.Parameter, gradient: Tensor) -> Tensor:
        """The Nesterov momentum as a matrix."""
        state = self.state[p]
        if not state:
            state |= {"momentum": torch.zeros_like(p), "step": torch.zeros(())}  # Adam looks for a step as it loads
        mean = state["momentum"].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(mean, self.momentum).flatten(1)


def orthogonal(matrices: Sequence[Tensor], n_iterations: int = 5) -> list[Tensor]:
    """The matrices ``[n, m]`` with their singular values brought to about 1, .7 to 1.2; those near 0 stay small.

    X ← (a + b XXᵀ + c (XXᵀ)²) X, repeated. All its powers are polynomials of one small matrix XXᵀ, so the iteration
    runs on that, for all matrices of its size at once, and touches X twice.
    """
    wide = [_scaled(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T) for matrix in matrices]
    of_size: dict[int, list[int]] = {}
    for i, x in enumerate(wide):
        of_size.setdefault(len(x), []).append(i)
    a, b, c = COEFFICIENTS
    for same in of_size.values():
        gram = torch.stack([wide[i] @ wide[i].T for i in same])
        one = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        product = one
        for _ in range(n_iterations):
            step = a * one + b * gram + c * (gram @ gram)
            product, gram = step @ product, step @ gram @ step
        for i, turn in zip(same, product, strict=True):
            wide[i] = turn @ wide[i]
    return [x if x.shape == matrix.shape else x.T for x, matrix in zip(wide, matrices, strict=True)]


def _scaled(matrix: Tensor) -> Tensor:
    """Singular values of at most 1; a zero stays."""
    return matrix / (matrix.norm() + torch.finfo(matrix.dtype).tiny ** 0.5)


def _groups(params: Iterable[nn.Parameter] | Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    given: list[Any] = list(params)
    return given if given and isinstance(given[0], dict) else [{"params": given}]


def _is_matrix(p: nn.Parameter) -> bool:
    return p.dim() >= 2 and min(p.shape[0], p[0].numel()) >= SMALLEST
