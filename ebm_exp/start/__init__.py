"""Starts: where points come from before any energy moves them, of known density where there is one."""

from ebm_exp.start.base import Start
from ebm_exp.start.bits import Bits
from ebm_exp.start.box import Normal, Uniform
from ebm_exp.start.data import Data
from ebm_exp.start.independent import Independent
from ebm_exp.start.mix import Mix
from ebm_exp.start.mixture import Mixture

__all__ = ["Bits", "Data", "Independent", "Mix", "Mixture", "Normal", "Start", "Uniform"]
