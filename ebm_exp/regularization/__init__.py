"""Regularization: terms that keep an energy smooth and small, any of them together."""

from ebm_exp.regularization.base import End, Phase, Step, Term
from ebm_exp.regularization.energy_l2 import EnergyL2
from ebm_exp.regularization.gradient_penalty import GradientPenalty
from ebm_exp.regularization.spectral_norm import SpectralNorm
from ebm_exp.regularization.tilt_l2 import TiltL2
from ebm_exp.regularization.velocity import Velocity

__all__ = ["End", "EnergyL2", "GradientPenalty", "Phase", "SpectralNorm", "Step", "Term", "TiltL2", "Velocity"]
