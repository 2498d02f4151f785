"""Energies: networks from points to one number each, low where data is; and energies of known law."""

from ebm_exp.energy.analytic import Analytic, DoubleWell, Funnel, Gaussian, Mixture, Ring
from ebm_exp.energy.base import Energy
from ebm_exp.energy.conv import Conv
from ebm_exp.energy.igebm import IGEBM
from ebm_exp.energy.mlp import MLP

__all__ = ["IGEBM", "MLP", "Analytic", "Conv", "DoubleWell", "Energy", "Funnel", "Gaussian", "Mixture", "Ring"]
