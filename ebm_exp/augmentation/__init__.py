"""Augmentation: a random change of pictures that stands for a long step of a chain."""

from ebm_exp.augmentation.base import Augmentation
from ebm_exp.augmentation.identity import Identity
from ebm_exp.augmentation.pictures import Pictures

__all__ = ["Augmentation", "Identity", "Pictures"]
