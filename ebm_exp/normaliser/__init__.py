"""What gives the densities of all times one constant, so that an energy of time is −log p but for a known number."""

from ebm_exp.normaliser.base import NoNormaliser, Normaliser, Seen
from ebm_exp.normaliser.levels import Levels
from ebm_exp.normaliser.time_score import TimeScore

__all__ = ["Levels", "NoNormaliser", "Normaliser", "Seen", "TimeScore"]
