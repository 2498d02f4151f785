"""Optimizers that torch does not have; all others are torch's own."""

from ebm_exp.optimizer.clipped_adam import ClippedAdam

__all__ = ["ClippedAdam"]
