"""An energy given what was observed of a point: the posterior of the point under the model, by Bayes.

The observation is context, so that every chain has its own.
"""

import torch
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample, Positive


class Inpainting(Energy):
    """E of a point whose components outside the mask are known: p(x_hidden | x_known) in the hidden components.

    The known components of a chain's own x change nothing, so that any kernel may move them.

    Args:
        energy: E.
        mask: ``[*event]``, true where a component is hidden.
    """

    mask: Tensor

    def __init__(self, energy: Energy, mask: Tensor) -> None:
        super().__init__()
        self.energy = energy
        self.context = (*energy.context, "known")
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        known = context.pop("known")
        return self.energy(self.completed(x, known), **context)

    def completed(self, x: Batch, known: Batch) -> Batch:
        """Hidden components of x, the others known ``[batch, *event]``."""
        return torch.where(self.mask, x, known)


class Denoising(Energy):
    """E(x) + T |x − y|²/2σ²: the posterior of x after y = x + N(0, σ²) was seen.

    Args:
        energy: E.
        noise_std: σ.
        temperature: T of the model's distribution exp(−E/T).
    """

    def __init__(self, energy: Energy, noise_std: Positive, temperature: Positive) -> None:
        super().__init__()
        self.energy, self.stiffness = energy, temperature / noise_std**2
        self.context = (*energy.context, "noisy")

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        noisy = context.pop("noisy")
        return self.energy(x, **context) + self.stiffness * (x - noisy).square().flatten(1).sum(1) / 2
