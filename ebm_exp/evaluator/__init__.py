"""How good are samples? Each evaluator compares fresh chains with data and returns named numbers."""

from ebm_exp.evaluator.base import Evaluator
from ebm_exp.evaluator.classifier import ClassShare
from ebm_exp.evaluator.frechet import Frechet
from ebm_exp.evaluator.grid import Grid
from ebm_exp.evaluator.mmd import MMD

__all__ = ["MMD", "ClassShare", "Evaluator", "Frechet", "Grid"]
