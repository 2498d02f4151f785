"""Joint energies of points and labels (Grathwohl et al. 2020, "JEM", arXiv 1912.03263).

Class scores g(x)[y] of any classifier are the negative energies of a joint density p(x, y) ∝ exp(g(x)[y]); then

    E(x, y) = −g(x)[y],    E(x) = −log Σ_y exp g(x)[y],    p(y | x) = softmax g(x)        (Equations 5–7)

Training and chains take E(x); a label is bound where somebody asks for a class (``Labelled``), never by itself.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.types import Batch, PerSample


class Joint(Energy):
    """A classifier as an energy; a subclass is its network.

    Args:
        n_classes: number of classes of the data.

    Raises:
        ValueError: when there are fewer than two.
    """

    optional: tuple[str, ...] = ("y",)
    classifies = True

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"a joint energy needs labels of 2 classes at least, this data set has {n_classes}")
        self.n_classes = n_classes

    @abstractmethod
    def logits(self, x: Batch) -> Tensor:
        """g(x) ``[batch, n_classes]`` in float32 at least."""

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        logits = self.logits(x)
        if "y" in context:
            return -logits.gather(1, context["y"][:, None]).squeeze(1)
        return -logits.logsumexp(1)


class Labelled(Energy):
    """E(x, y) of an energy that knows labels without being bound to them: chains on it draw the classes asked for.

    Args:
        energy: has ``y`` among what is optional.
    """

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.energy = energy
        self.noised = energy.noised
        self.no_label = energy.no_label
        self.context = (*energy.context, "y")

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return self.energy(x, **context)


class Marginal(Joint):
    """A class-conditional energy at temperature T as a joint one: g(x)[y] = −E(x, y)/T, E(x) = −T log Σ_y exp g(x)[y].

    Its classes are weighed by their own Z_y, which training under labels alone leaves free: p(y | x) is right up to
    Z_y as far as chains have passed between classes.

    Args:
        energy: takes labels.
        n_classes: how many.
        temperature: T.

    Raises:
        ValueError: when there are fewer than two classes, or T is not positive.
    """

    optional = ()

    def __init__(self, energy: Energy, n_classes: int, temperature: float) -> None:
        super().__init__(n_classes)
        if temperature <= 0:
            raise ValueError(f"classes of a conditional energy need a temperature > 0, got {temperature:g}")
        self.energy, self.temperature = energy, temperature

    def logits(self, x: Batch) -> Tensor:
        y = torch.arange(self.n_classes, device=x.device)
        e = self.energy(x.repeat_interleave(self.n_classes, 0), y=y.repeat(len(x)))
        return -e.view(len(x), self.n_classes) / self.temperature

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return self.temperature * super().forward(x)
