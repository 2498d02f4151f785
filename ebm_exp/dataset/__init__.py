"""Data sets: points, labels, the domain they lie in, and their density where it is known."""

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.binary_digits import BinaryDigits
from ebm_exp.dataset.digits import Digits
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.gray_code import GrayCode
from ebm_exp.dataset.image_array import ImageArray
from ebm_exp.dataset.image_folder import ImageFolder
from ebm_exp.dataset.mixture import Mixture
from ebm_exp.dataset.synthetic import Synthetic
from ebm_exp.dataset.table import Table
from ebm_exp.dataset.toy2d import (
    Checkerboard,
    EightGaussians,
    Gaussian,
    Pinwheel,
    Rings,
    SwissRoll,
    TwoMoons,
    TwoSpirals,
)
from ebm_exp.dataset.vision import Vision

__all__ = [
    "BinaryDigits",
    "Checkerboard",
    "Dataset",
    "Digits",
    "Domain",
    "EightGaussians",
    "Gaussian",
    "GrayCode",
    "ImageArray",
    "ImageFolder",
    "Mixture",
    "Pinwheel",
    "Rings",
    "SwissRoll",
    "Synthetic",
    "Table",
    "TwoMoons",
    "TwoSpirals",
    "Vision",
]
