"""Objectives: what training minimises."""

from ebm_exp.objective.base import Loss, Objective
from ebm_exp.objective.classification import Classification
from ebm_exp.objective.contrastive_divergence import CD, PCD, ShortRun
from ebm_exp.objective.cross_entropy import CrossEntropy
from ebm_exp.objective.entropy import Entropy
from ebm_exp.objective.flow_matching import FlowMatching
from ebm_exp.objective.kl import KL

__all__ = [
    "CD",
    "KL",
    "PCD",
    "Classification",
    "CrossEntropy",
    "Entropy",
    "FlowMatching",
    "Loss",
    "Objective",
    "ShortRun",
]
