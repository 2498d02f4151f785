"""No augmentation: A(x) = x."""

from ebm_exp.augmentation.base import Augmentation
from ebm_exp.random import Source
from ebm_exp.types import Batch


class Identity(Augmentation):
    """Returns the points themselves."""

    def __call__(self, x: Batch, source: Source, purpose: str) -> Batch:
        return x
