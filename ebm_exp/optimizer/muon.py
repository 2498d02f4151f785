"""Muon: momentum whose matrices are orthogonalised (Jordan et al. 2024, "Muon: An optimizer for hidden layers").

For each matrix of weights, W ← W − lr · max(1, n_out/n_in)^½ · O(M), M the Nesterov momentum of its gradient and O the
nearest matrix whose singular values are all about 1, so every direction of a layer moves alike. All other parameters
take Adam's steps.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ebm_exp.engine.base import Engine
from ebm_exp.part import Part
from ebm_exp.types import Positive, PositiveInt, Probability, Provided

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
        engine: records the orthogonalisation, hundreds of small products; None: it is computed as it is.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: Positive = 0.02,
        momentum: Probability = 0.95,
        n_iterations: PositiveInt = 5,
        adam_lr: Positive = 2e-3,
        betas: tuple[Probability, Probability] = (0.9, 0.99),
        engine: Provided[Engine | None] = None,
    ) -> None:
        groups: list[dict[str, Any]] = []
        for group in _groups(params):
            matrices = [p for p in group["params"] if _is_matrix(p) and "lr" not in group]
            others = [p for p in group["params"] if all(p is not m for m in matrices)]
            groups += [group | {"params": matrices, "lr": lr, "matrices": True}] if matrices else []
            groups += [{"lr": adam_lr} | group | {"params": others, "matrices": False}] if others else []
        super().__init__(groups, lr=adam_lr, betas=betas)
        self.momentum, self.n_iterations, self.engine = momentum, n_iterations, engine

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both kinds; no host synchronisation."""
        gradients = []
        for group in self.param_groups:
            matrices = [(p, p.grad) for p in group["params"] if p.grad is not None] if group["matrices"] else []
            if matrices:
                self._turn([p for p, _ in matrices], [gradient for _, gradient in matrices], group["lr"])
            for p, _ in matrices:
                p.grad = None  # Adam passes it by
            gradients += matrices
        result = super().step(closure)
        for p, gradient in gradients:
            p.grad = gradient
        return result

    def _turn(self, params: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        """Move matrices along their Nesterov momentum, orthogonalised."""
        for p in params:
            if not self.state[p]:  # Adam looks for a step as it loads
                self.state[p] |= {"momentum": torch.zeros_like(p), "step": torch.zeros(())}
        means = [self.state[p]["momentum"] for p in params]
        torch._foreach_lerp_(means, gradients, 1 - self.momentum)
        ahead = torch._foreach_lerp(gradients, means, self.momentum)
        work, matrices = partial(orthogonal, n_iterations=self.n_iterations), [each.flatten(1) for each in ahead]
        turned = self.engine.compute("a step of Muon", id(self), work, matrices) if self.engine else work(matrices)
        of_scale: dict[float, list[int]] = {}
        for i, (n_out, n_in) in enumerate(each.shape for each in turned):
            of_scale.setdefault(max(1.0, n_out / n_in) ** 0.5, []).append(i)
        for scale, same in of_scale.items():
            directions = [turned[i].view_as(params[i]) for i in same]
            torch._foreach_add_([params[i] for i in same], directions, alpha=-lr * scale)


def orthogonal(matrices: Sequence[Tensor], n_iterations: int = 5) -> list[Tensor]:
    """The matrices ``[n, m]`` with their singular values brought to about 1, .7 to 1.2; those near 0 stay small.

    X ← (a + b XXᵀ + c (XXᵀ)²) X, repeated. All its powers are polynomials of one small matrix XXᵀ, so the iteration
    runs on that, for all matrices of its size at once, and touches X twice.
    """
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T for matrix in matrices]
    tiny = torch.finfo(wide[0].dtype).tiny ** 0.5  # a zero stays
    norms = torch._foreach_add(torch._foreach_norm(wide), tiny)
    of_size: dict[int, dict[int, list[int]]] = {}  # by rows, by columns
    for i, x in enumerate(wide):
        of_size.setdefault(len(x), {}).setdefault(x.shape[1], []).append(i)
    for of_columns in of_size.values():
        stacks = [
            torch.stack([wide[i] for i in same]) / torch.stack([norms[i] for i in same]).view(-1, 1, 1)
            for same in of_columns.values()
        ]
        polynomial = _polynomial(torch.cat([x @ x.mT for x in stacks]), n_iterations)
        counts = [len(x) for x in stacks]
        for same, x, turn in zip(of_columns.values(), stacks, polynomial.split(counts), strict=True):
            for i, each in zip(same, (turn @ x).unbind(), strict=True):
                wide[i] = each
    return [x if x.shape == matrix.shape else x.T for x, matrix in zip(wide, matrices, strict=True)]


def _polynomial(gram: Tensor, n_iterations: int) -> Tensor:
    """What X is multiplied by in all iterations together, of XXᵀ ``[k, n, n]``."""
    a, b, c = COEFFICIENTS
    constant = a * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    product: Tensor | None = None
    for _ in range(n_iterations):
        step = torch.baddbmm(torch.add(constant, gram, alpha=b), gram, gram, alpha=c)
        product = step if product is None else step @ product
        gram = step @ gram @ step
    assert product is not None
    return product


def _groups(params: Iterable[nn.Parameter] | Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    given: list[Any] = list(params)
    return given if given and isinstance(given[0], dict) else [{"params": given}]


def _is_matrix(p: nn.Parameter) -> bool:
    return p.dim() >= 2 and min(p.shape[0], p[0].numel()) >= SMALLEST
