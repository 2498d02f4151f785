"""Objectives: what training minimises."""

from ebm_exp.objective.base import Objective, ObjectiveOutput
from ebm_exp.objective.contrastive_divergence import CD, PCD, ShortRun
from ebm_exp.objective.entropy import NearestNeighbour
from ebm_exp.objective.improved_cd import ImprovedCD

__all__ = ["CD", "PCD", "ImprovedCD", "NearestNeighbour", "Objective", "ObjectiveOutput", "ShortRun"]
