"""Sampling: how a run draws fresh samples from an energy."""

from ebm_exp.sampling.base import Sampling
from ebm_exp.sampling.chains import Chains
from ebm_exp.sampling.flow import Flow
from ebm_exp.sampling.fresh import Fresh
from ebm_exp.sampling.levels import Levels

__all__ = ["Chains", "Flow", "Fresh", "Levels", "Sampling"]
