"""Evaluators: numbers that judge a model, on a schedule while it trains."""

from ebm_exp.evaluator.base import Evaluator
from ebm_exp.evaluator.frechet import Frechet
from ebm_exp.evaluator.mmd import MMD

__all__ = ["MMD", "Evaluator", "Frechet"]
