"""No augmentation: A(x) = x."""

import torch

from ebm_exp.augmentation.base import Augmentation
from ebm_exp.types import Batch


class Identity(Augmentation):
    """Returns the points themselves."""

    def __call__(self, x: Batch, generator: torch.Generator, purpose: str) -> Batch:
        return x
