"""How good is a model? Each evaluator returns named scores."""

from ebm_exp.evaluator.ais import AIS
from ebm_exp.evaluator.base import Against, Direction, Evaluator, Kind, Model, Score, as_row, refuted
from ebm_exp.evaluator.chain_health import ChainHealth
from ebm_exp.evaluator.classes import Classes
from ebm_exp.evaluator.classifier import ClassShare
from ebm_exp.evaluator.density import Density
from ebm_exp.evaluator.drift import Drift
from ebm_exp.evaluator.frechet import Frechet
from ebm_exp.evaluator.grid import Grid
from ebm_exp.evaluator.inception_score import InceptionScore
from ebm_exp.evaluator.kid import KID
from ebm_exp.evaluator.manifold import Manifold
from ebm_exp.evaluator.memorization import Memorization
from ebm_exp.evaluator.mmd import MMD
from ebm_exp.evaluator.ood import OOD
from ebm_exp.evaluator.two_sample import TwoSample

__all__ = [
    "AIS",
    "KID",
    "MMD",
    "OOD",
    "Against",
    "ChainHealth",
    "ClassShare",
    "Classes",
    "Density",
    "Direction",
    "Drift",
    "Evaluator",
    "Frechet",
    "Grid",
    "InceptionScore",
    "Kind",
    "Manifold",
    "Memorization",
    "Model",
    "Score",
    "TwoSample",
    "as_row",
    "refuted",
]
