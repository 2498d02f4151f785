"""An energy given what was observed of a point: the posterior of the point under the model, by Bayes.

The observation is context, so that every chain has its own. Each is also the posterior of a noised point, for chains
that run through levels of noise: of densities of time, whose t is context too.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample, Positive, per_point


@runtime_checkable
class Noise(Protocol):
    """What is known of noised points: a noise process."""

    def share(self, t: Tensor) -> Tensor:
        """What a point is multiplied by before noise is added."""
        ...

    def width(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise."""
        ...


class Inpainting(Energy):
    """E of a point whose components outside the mask are known: p(x_hidden | x_known) in the hidden components.

    The known components of a chain's own x change nothing, so that any kernel may move them. At a level of noise the
    known components carry it too, always the same.

    Args:
        energy: E.
        mask: ``[*event]``, true where a component is hidden; None: each point has a mask of its own.
        noise: the noise process of an energy of noise levels.
    """

    mask: Tensor | None

    def __init__(self, energy: Energy, mask: Tensor | None = None, noise: Noise | None = None) -> None:
        super().__init__()
        self.energy, self.noise = energy, noise
        own = ["hidden"] if mask is None else []
        self.context = (*energy.context, "known", *own, *(["z"] if "t" in energy.context else []))
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        """Under known ``[batch, *event]``, hidden ``[batch, *event]``, true or 1 where a component is, if there is no
        mask for all, and, of levels, standard normal z ``[batch, *event]``."""
        known, hidden = context.pop("known"), context.pop("hidden", None)
        if self.noise is not None and "t" in context:
            t = per_point(context["t"], x)
            known = self.noise.share(t) * known + self.noise.width(t) * context.pop("z")
        return self.energy(self.completed(x, known, hidden), **context)

    def completed(self, x: Batch, known: Batch, hidden: Tensor | None = None) -> Batch:
        """Hidden components of x, the others known ``[batch, *event]``."""
        mask = self.mask if hidden is None else hidden > 0
        assert mask is not None  # else each point has one
        return torch.where(mask, x, known)


class Denoising(Energy):
    """E(x) + T |x − y|²/2σ²: the posterior of x after y = x + N(0, σ²) was seen.

    Of a noised point x_t = a x + N(0, b²) with b/a < σ, whose noise is a part of that in y:
    Ẽ(x_t, t) + |x_t/a − y|²/2(σ² − b²/a²).

    Args:
        energy: E.
        noise_std: σ.
        temperature: T of the model's distribution exp(−E/T).
        noise: the noise process of an energy of noise levels.
    """

    def __init__(self, energy: Energy, noise_std: Positive, temperature: Positive, noise: Noise | None = None) -> None:
        super().__init__()
        self.energy = energy
        self.variance = noise_std**2
        self.temperature = temperature
        self.noise = noise
        self.context = (*energy.context, "noisy")

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        """Under noisy ``[batch, *event]``."""
        noisy, there = context.pop("noisy"), x
        variance: Tensor | float = self.variance
        if self.noise is not None and "t" in context:
            t = per_point(context["t"], x)
            there, variance = x / self.noise.share(t), variance - (self.noise.width(t) / self.noise.share(t)).square()
        distance = ((there - noisy).square() / variance).flatten(1).sum(1)
        return self.energy(x, **context) + self.temperature * distance / 2
