"""Regularization: terms that keep an energy smooth and small, any of them together."""

from ebm_exp.regularization.base import Combined, Regularization, Side
from ebm_exp.regularization.energy_l2 import EnergyL2
from ebm_exp.regularization.gradient_penalty import GradientPenalty
from ebm_exp.regularization.spectral_norm import SpectralNorm

__all__ = ["Combined", "EnergyL2", "GradientPenalty", "Regularization", "Side", "SpectralNorm"]
