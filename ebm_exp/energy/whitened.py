"""A network of whitened points: it sees directions in which the data are narrow as well as others.

W and m are those of one Gaussian that is fitted to training points, with a floor of its variances that suits them (see
``start/fit.py``): W(x − m) has mean 0 and covariance 1. What a network learns first is of order one in its input; of
columns that all but follow from each other that is their sum, and seldom what tells of the density.
"""

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.precision import full_precision, wide
from ebm_exp.start.fit import Question, fit
from ebm_exp.types import Batch, PerSample, Provided


class Whitened(Energy):
    """E(x) = N(W(x − m)), but for a constant a density's own energy: W is fixed.

    Args:
        network: N.
        dataset: gives training points.
    """

    mean: Tensor  # [d]
    whiten: Tensor  # [d, d], Wᵀ

    def __init__(self, network: Energy, dataset: Provided[Dataset]) -> None:
        super().__init__()
        self.network = network
        self.context, self.optional = network.context, network.optional
        gaussian = fit(dataset, Question(1, bounded=False, variance_floor=None))
        cholesky = torch.linalg.cholesky(torch.from_numpy(gaussian.covariances_[0]))
        self.register_buffer("mean", torch.from_numpy(gaussian.means_[0]).float())
        self.register_buffer("whiten", torch.linalg.inv(cholesky).T.contiguous().float())

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        with full_precision(x.device):  # bf16 knows no direction that is a thousandth as wide as another
            white = (wide(x.flatten(1)) - self.mean) @ self.whiten
        return self.network(white.view_as(x), **context)
