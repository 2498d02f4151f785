"""Densities that need no network, fitted to the training split: what a likelihood is compared with.

independent   each component a normal within the box, with the data's mean and deviation; a bit with its frequency
gaussian      one Gaussian with all covariances, on all of space; the floor of its variances is chosen by
              cross-validation (see ``start/fit.py``); none of bits
"""

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.start import Bits, Independent, Mixture, Start


def fit_baselines(dataset: Dataset) -> dict[str, Start]:
    """Densities by name, on the data set's device; levels are dequantized as in training."""
    if dataset.binary:
        return {"independent": Bits(dataset).to(dataset.device)}
    independent, gaussian = Independent(dataset), Mixture(dataset, 1, uniform_share=0.0, variance_floor=None)
    return {"independent": independent.to(dataset.device), "gaussian": gaussian.to(dataset.device)}


def surprise(density: Start, x: Tensor, block: int) -> Tensor:
    """−log q of points ``[n, *event]`` in nats ``[n]``, float64."""
    return -torch.cat([density.log_prob(some).double() for some in x.split(block)])
