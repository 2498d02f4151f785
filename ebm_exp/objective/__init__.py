"""Objectives: what training minimises."""

from ebm_exp.objective.base import Loss, Objective
from ebm_exp.objective.classification import Classification
from ebm_exp.objective.contrastive_divergence import CD
from ebm_exp.objective.cross_entropy import CrossEntropy
from ebm_exp.objective.dsm import DSM
from ebm_exp.objective.energy_discrepancy import BinaryEnergyDiscrepancy, EnergyDiscrepancy
from ebm_exp.objective.entropy import Entropy
from ebm_exp.objective.flow_matching import FlowMatching
from ebm_exp.objective.kl import KL
from ebm_exp.objective.nce import NCE
from ebm_exp.objective.pcd import PCD
from ebm_exp.objective.pseudo_likelihood import PseudoLikelihood
from ebm_exp.objective.ratio_matching import RatioMatching
from ebm_exp.objective.short_run import ShortRun

__all__ = [
    "CD",
    "DSM",
    "KL",
    "NCE",
    "PCD",
    "BinaryEnergyDiscrepancy",
    "Classification",
    "CrossEntropy",
    "EnergyDiscrepancy",
    "Entropy",
    "FlowMatching",
    "Loss",
    "Objective",
    "PseudoLikelihood",
    "RatioMatching",
    "ShortRun",
]
