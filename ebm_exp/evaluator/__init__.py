"""How good is a model? Each evaluator returns named scores."""

from ebm_exp.evaluator.base import Against, Direction, Evaluator, Model, Score, as_row
from ebm_exp.evaluator.classes import Classes
from ebm_exp.evaluator.classifier import ClassShare
from ebm_exp.evaluator.frechet import Frechet
from ebm_exp.evaluator.grid import Grid
from ebm_exp.evaluator.mmd import MMD
from ebm_exp.evaluator.ood import OOD

__all__ = [
    "MMD",
    "OOD",
    "Against",
    "ClassShare",
    "Classes",
    "Direction",
    "Evaluator",
    "Frechet",
    "Grid",
    "Model",
    "Score",
    "as_row",
]
