"""The same chain and the same update in other libraries, where they have the parts."""

import importlib.metadata
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, optim

from benchmarks.published_loops import N_HELD, Settings

PACKAGES = {"torchebm": "torchebm", "ebmkit": "ebm"}  # package: module


def version(package: str) -> str | None:
    """Of a package, if it is installed."""
    installed = importlib.util.find_spec(PACKAGES[package])
    return importlib.metadata.version(package) if installed else None


def chain(package: str, energy: nn.Module, x: Tensor, s: Settings) -> Callable[[], object] | None:
    """A chain from x; None: it has no such part."""
    sampler = _sampler(package, energy, s)
    if package == "ebmkit":
        return lambda: sampler.sample(energy, x)
    if s.gradient_clamp is not None:
        return None
    return lambda: sampler.sample(x=x.clone(), n_steps=s.n_steps)


def update(package: str, energy: nn.Module, optimizer: optim.Optimizer, data: Tensor, s: Settings) -> Any:
    """An update on a replay buffer; None: it has no such part."""
    sampler = _sampler(package, energy, s)
    if package == "ebmkit":
        import ebm

        def start(shape: tuple[int, ...]) -> Tensor:
            return torch.empty(shape).uniform_(s.low, s.high)

        buffer = ebm.ReplayBuffer(N_HELD, tuple(data.shape[1:]), s.reinit, start)
        loss = ebm.losses.ContrastiveDivergence(sampler, buffer, s.l2)
        value: Callable[[], Tensor] = lambda: loss(energy, data).loss  # noqa: E731
    elif s.gradient_clamp is None:
        from torchebm.losses import PersistentContrastiveDivergence

        theirs = PersistentContrastiveDivergence(
            sampler.model, sampler, k_steps=s.n_steps, buffer_size=N_HELD, init_steps=0, new_sample_ratio=s.reinit,
            energy_reg_weight=s.l2, device=data.device,
        )  # fmt: skip
        value = lambda: theirs(data)[0]  # noqa: E731
    else:
        return None

    def step() -> None:
        optimizer.zero_grad()
        value().backward()
        if s.clip is not None:
            nn.utils.clip_grad_norm_(energy.parameters(), s.clip)
        optimizer.step()

    return step


def _sampler(package: str, energy: nn.Module, s: Settings) -> Any:
    if package == "ebmkit":
        import ebm

        box = (s.low, s.high)
        return ebm.samplers.LangevinDynamics(s.step_size / 2, s.n_steps, s.noise_std, s.gradient_clamp, box)
    from torchebm.core import BaseModel
    from torchebm.samplers import LangevinDynamics

    class Model(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.energy = energy

        def forward(self, x: Tensor) -> Tensor:
            return self.energy(x)  # type: ignore[no-any-return]

    scale, device = s.noise_std / math.sqrt(s.step_size), next(energy.parameters()).device
    return LangevinDynamics(Model().to(device), s.step_size / 2, scale, clamp=(s.low, s.high), device=device)
