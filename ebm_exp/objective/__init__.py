"""Objectives: what training minimises."""

from ebm_exp.objective.base import Objective, ObjectiveOutput
from ebm_exp.objective.contrastive_divergence import CD, PCD, ShortRun

__all__ = ["CD", "PCD", "Objective", "ObjectiveOutput", "ShortRun"]
