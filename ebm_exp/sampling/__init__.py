"""Sampling: how a run draws fresh samples from an energy."""

from ebm_exp.sampling.base import Sampling
from ebm_exp.sampling.chains import Chains
from ebm_exp.sampling.flow import Flow

__all__ = ["Chains", "Flow", "Sampling"]
