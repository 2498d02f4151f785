"""What can be drawn from trained runs: the modes of sample.py."""

from ebm_exp.mode.base import Drawn, Mode, Request, log_drawn
from ebm_exp.mode.chain import Chain
from ebm_exp.mode.compose import Compose
from ebm_exp.mode.denoise import Denoise
from ebm_exp.mode.drift import Drift
from ebm_exp.mode.grid import Grid
from ebm_exp.mode.impute import Impute
from ebm_exp.mode.inpaint import Inpaint
from ebm_exp.mode.score import Score

__all__ = [
    "Chain",
    "Compose",
    "Denoise",
    "Drawn",
    "Drift",
    "Grid",
    "Impute",
    "Inpaint",
    "Mode",
    "Request",
    "Score",
    "log_drawn",
]
