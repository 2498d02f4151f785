"""Markov kernels on energies, and the chain that repeats one."""

from ebm_exp.sampler.annealed import Annealed
from ebm_exp.sampler.base import Control, Sampler
from ebm_exp.sampler.chain import Chain, run_chain
from ebm_exp.sampler.gibbs_with_gradients import GibbsWithGradients
from ebm_exp.sampler.hmc import HMC
from ebm_exp.sampler.jump import Jump
from ebm_exp.sampler.langevin import Langevin
from ebm_exp.sampler.mala import MALA
from ebm_exp.sampler.tempering import Tempering
from ebm_exp.sampler.underdamped import Underdamped

__all__ = [
    "HMC", "MALA", "Annealed", "Chain", "Control", "GibbsWithGradients", "Jump", "Langevin", "Sampler", "Tempering",
    "Underdamped", "run_chain",
]  # fmt: skip
