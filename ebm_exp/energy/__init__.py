"""Energies: networks from points to one number each, low where data is."""

from ebm_exp.energy.base import Energy
from ebm_exp.energy.conv import Conv
from ebm_exp.energy.igebm import IGEBM
from ebm_exp.energy.mlp import MLP

__all__ = ["IGEBM", "MLP", "Conv", "Energy"]
