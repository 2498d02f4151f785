"""Markov kernels on energies, and fresh chains drawn with them."""

from ebm_exp.sampler.base import Chain, Sampler, run_chain
from ebm_exp.sampler.fresh import FreshChains, Samples
from ebm_exp.sampler.langevin import Langevin

__all__ = ["Chain", "FreshChains", "Langevin", "Sampler", "Samples", "run_chain"]
