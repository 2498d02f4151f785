"""Augmentation: a random change of images that stands for a long step of a chain."""

from ebm_exp.augmentation.base import Augmentation
from ebm_exp.augmentation.identity import Identity
from ebm_exp.augmentation.images import Images

__all__ = ["Augmentation", "Identity", "Images"]
