"""Loops as published code has them, to be timed beside ours: its numbers and its order of operations, no logging.

In float32 and PyTorch's own order of an image's numbers (NCHW), on ``plain`` networks, which compute weights that
follow from others (spectral norms, standardised weights) in every call. Augmentation of chains is left out, data are at
hand, and what is held is in float32 on the device. ``bare`` is the shortest loop that does the work.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

N_HELD, N_BANK = 10_000, 100


class Settings(NamedTuple):
    """Of Langevin chains, and of training on a replay buffer."""

    step_size: float  # λ
    noise_std: float
    n_steps: int
    low: float
    high: float
    gradient_clamp: float | None
    reinit: float  # share of new chains, uniform in the box
    l2: float  # weight of mean E₊² + mean E₋²
    entropy: float | None  # weight of the entropy of ends; with it comes the KL term
    clip: float | None  # largest norm of the parameters' gradient
    decay: float | None  # of an average of the weights


def plain(energy: nn.Module) -> Any:
    """A copy in PyTorch's default layout, at rest."""
    return copy.deepcopy(energy).to(memory_format=torch.contiguous_format).eval()


def bare(energy: Callable[[Tensor], Tensor], x: Tensor, s: Settings, g: Generator) -> Tensor:
    """x ← clamp(x − (λ/2)∇E(x) + ω), as short as PyTorch has it."""
    for _ in range(s.n_steps):
        x = x.detach().requires_grad_()
        noise = torch.empty_like(x).normal_(generator=g)
        (gradient,) = torch.autograd.grad(energy(x).sum(), x)
        x = (x.detach() - 0.5 * s.step_size * gradient + s.noise_std * noise).clamp(s.low, s.high)
    return x


def du2019(energy: Callable[[Tensor], Tensor], x: Tensor, s: Settings, g: Generator) -> Tensor:
    """Du & Mordatch 2019: noise, gradient by ``backward()``, its clamp, step, clamp; x is one tensor, written over."""
    assert s.gradient_clamp is not None
    x, noise = x.detach().clone().requires_grad_(), torch.empty_like(x)
    for _ in range(s.n_steps):
        x.data.add_(noise.normal_(0, s.noise_std, generator=g))
        energy(x).sum().backward()
        assert x.grad is not None
        x.data.add_(x.grad.clamp_(-s.gradient_clamp, s.gradient_clamp), alpha=-s.step_size / 2)
        x.grad.zero_()
        x.data.clamp_(s.low, s.high)
    return x.detach()


def du2021(energy: Callable[[Tensor], Tensor], x: Tensor, s: Settings, g: Generator, n_through: int = 0) -> Any:
    """Du et al. 2021: noise, step, clamp; where asked, also the first ends, as functions of θ by the last step."""
    for step in range(s.n_steps):
        x = x.detach() + s.noise_std * torch.empty_like(x).normal_(generator=g)
        start, x = x[:n_through].clone().requires_grad_(), x.requires_grad_()
        (gradient,) = torch.autograd.grad(energy(x).sum(), x)
        x = (x.detach() - 0.5 * s.step_size * gradient).clamp(s.low, s.high)
        if n_through and step == s.n_steps - 1:
            (gradient,) = torch.autograd.grad(energy(start).sum(), start, create_graph=True)
            return x, (start - 0.5 * s.step_size * gradient).clamp(s.low, s.high)
    return x


class _Training:
    """A network, its Adam and an average of its weights."""

    def __init__(self, energy: nn.Module, optimizer: Optimizer, s: Settings) -> None:
        self.energy, self.optimizer, self.s = energy, optimizer, s
        self.parameters = list(energy.parameters())
        self.average = [p.detach().clone() for p in self.parameters]

    def take(self, loss: Tensor) -> None:
        """The optimizer's step."""
        self.optimizer.zero_grad()
        loss.backward()
        if self.s.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.s.clip)
        self.optimizer.step()
        if self.s.decay is not None:
            with torch.no_grad():
                for mean, p in zip(self.average, self.parameters, strict=True):
                    mean.mul_(self.s.decay).add_(p, alpha=1 - self.s.decay)


class Replay(_Training):
    """Contrastive divergence on a replay buffer: draw, chain, loss, step, put back.

    Args:
        energy, optimizer, s: what is trained, and how.
        chain: from the network and starts to ends, or to ends and the first of them as functions of θ.
        data: a batch, for its shape.
    """

    def __init__(self, energy: nn.Module, optimizer: Optimizer, s: Settings, chain: Any, data: Tensor) -> None:
        super().__init__(energy, optimizer, s)
        self.chain = chain
        self.held = data.new_empty(N_HELD, *data.shape[1:]).uniform_(s.low, s.high)

    def __call__(self, data: Tensor) -> None:
        rows = torch.randint(N_HELD, (len(data),), device=data.device)
        fresh = torch.rand(len(data), *[1] * (data.dim() - 1), device=data.device) < self.s.reinit
        start = torch.where(fresh, torch.empty_like(data).uniform_(self.s.low, self.s.high), self.held[rows])
        self.energy.eval()
        ends = self.chain(self.energy, start)
        x, end = ends if isinstance(ends, tuple) else (ends, None)
        self.energy.train()
        e_pos, e_neg = self.energy(data), self.energy(x)
        loss = e_pos.mean() - e_neg.mean() + self.s.l2 * (e_pos.square().mean() + e_neg.square().mean())
        self.take(loss if end is None else loss + self.of_ends(end))
        self.held[rows] = x

    def of_ends(self, end: Tensor) -> Tensor:
        """KL term and entropy, by the nearest of 100 held points; θ acts by the ends alone."""
        assert self.s.entropy is not None
        self.energy.requires_grad_(False)
        kl = self.energy(end).mean()
        self.energy.requires_grad_(True)
        bank = self.held[torch.randint(N_HELD, (N_BANK,), device=end.device)]
        nearest = torch.cdist(end.flatten(1), bank.flatten(1)).min(1).values
        return kl - self.s.entropy * (nearest + 1e-6).log().mean()


class Flow(_Training):
    """Energy Matching's first phase (Balcerak et al. 2025): −∇E(x_t, t) is fitted to x₁ − x₀."""

    def loss(self, data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The mean square of −∇E(x_t, t) − (x₁ − x₀)."""
        share = t.view(-1, *[1] * (data.dim() - 1))
        point = ((1 - share) * noise + share * data).requires_grad_()
        (gradient,) = torch.autograd.grad(self.energy(point, t=t).sum(), point, create_graph=True)
        return (-gradient - (data - noise)).square().mean()

    def __call__(self, data: Tensor) -> None:
        self.take(self.loss(data, torch.randn_like(data), torch.randn(len(data), device=data.device).sigmoid()))
