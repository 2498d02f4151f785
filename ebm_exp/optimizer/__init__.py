"""Optimizers that torch does not have, or not for kernels of convolutions; all others are torch's own."""

from ebm_exp.optimizer.clipped_adam import ClippedAdam
from ebm_exp.optimizer.muon import Muon

__all__ = ["ClippedAdam", "Muon"]
