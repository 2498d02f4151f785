"""Projected gradient descent: small changes of x that a classifier fails at (Madry et al. 2018, arXiv 1706.06083).

x' ← Π(x' + α v),  v the direction of ∇ₓ(−log p(y | x')),  Π: onto the ball of radius ε around x, then onto the domain

v is sign ∇ in L∞ and ∇/‖∇‖₂ in L2, α = 2.5 ε/n_steps, so that the walk can cross the ball from its random start. The
log odds log (1 − p)/p have the same direction and do not saturate where p is 1 in floating point. The domain is a box
that holds x, so its projection leads nowhere out of the ball.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor

from ebm_exp.dataset.domain import Domain
from ebm_exp.types import Batch, Labels

Norm = Literal["linf", "l2"]


def pgd(
    logits: Callable[[Tensor], Tensor],
    x: Batch,
    y: Labels,
    domain: Domain,
    norm: Norm,
    radius: float,
    n_steps: int,
    generator: Generator,
) -> Batch:
    """Where the attack ends, ``[batch, *event]``: at the first point that is taken for another class than y, if any.

    Points that are misclassified from the beginning stay, so an attack raises no accuracy.

    Args:
        logits: class scores ``[batch, n_classes]``.
        x: points of the domain.
        y: their labels.
        domain: the box that is not left.
        norm: of the ball.
        radius: ε, in units of the domain.
        n_steps: of the walk.
        generator: of its start, uniform in the cube of L∞, in L2 a random direction and a uniform distance.
    """
    u = torch.rand(x.shape, generator=generator, device=x.device) * 2 - 1
    if norm == "l2":
        n = torch.randn(x.shape, generator=generator, device=x.device)
        u = _direction(n, norm) * torch.rand(len(x), generator=generator, device=x.device).view(_column(x))
    with torch.no_grad():
        done, at = logits(x).argmax(1) != y, _project(x + radius * u, x, domain, norm, radius)
        end = torch.where(done.view(_column(x)), x, at)
    for step in range(n_steps + 1):
        with torch.enable_grad():
            at = at.detach().requires_grad_(step < n_steps)
            scores = logits(at)
            others = scores.scatter(1, y[:, None], -torch.inf).logsumexp(1)
            loss = (others - scores.gather(1, y[:, None]).squeeze(1)).sum()
        with torch.no_grad():
            end = torch.where(done.view(_column(x)), end, at)
            done = done | (scores.argmax(1) != y)
        if step < n_steps:
            (gradient,) = torch.autograd.grad(loss, at)
            move = 2.5 * radius / n_steps * _direction(gradient, norm)
            at = _project(at.detach() + move, x, domain, norm, radius)
    return end.detach()


def _direction(v: Tensor, norm: Norm) -> Tensor:
    if norm == "linf":
        return v.sign()
    return v / v.flatten(1).norm(dim=1).clamp(min=torch.finfo(v.dtype).tiny).view(_column(v))


def _project(z: Tensor, x: Tensor, domain: Domain, norm: Norm, radius: float) -> Tensor:
    away = z - x
    if norm == "linf":
        away = away.clamp(-radius, radius)
    else:
        away = away * (radius / away.flatten(1).norm(dim=1).clamp(min=radius)).view(_column(x))
    return (x + away).clamp(domain.low, domain.high)


def _column(x: Tensor) -> tuple[int, ...]:
    return (len(x), *[1] * (x.dim() - 1))
