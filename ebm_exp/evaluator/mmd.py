"""Maximum mean discrepancy (Gretton et al., JMLR 2012), unbiased, with Gaussian kernels.

MMD² = mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) − 2 mean k(x_i, y_j),  k(x, y) = exp(−|x − y|²/(2σ²))   (their Eq. 3)

Zero in the mean when the two laws are equal, so it can be negative. It compares what chains reach, not densities: modes
with wrong weights far apart are seen, a wrong density where no chain goes is not.
"""

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import Evaluator
from ebm_exp.types import Batch, EnergyFn, Positive, PositiveInt


def mmd2(x: Batch, y: Batch, bandwidths: tuple[float, ...]) -> float:
    """Unbiased MMD² of two samples ``[n, *event]`` and ``[m, *event]``, averaged over the bandwidths σ."""
    x, y = x.flatten(1).double(), y.flatten(1).double()
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    for a, b, weight in ((x, x, 1.0), (y, y, 1.0), (x, y, -2.0)):
        d2 = torch.cdist(a, b).square()
        for sigma in bandwidths:
            k = torch.exp(-d2 / (2 * sigma**2))
            mean = k.mean() if a is not b else (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))
            total += weight * mean / len(bandwidths)
    return float(total)


class MMD(Evaluator):
    """Unbiased MMD² of fresh chains against held-out data.

    Args:
        dataset: the reference: its test split.
        n_samples: number of fresh chains, and of held-out points at most.
        bandwidths: σ of each kernel, in the data's units; null: ¼, ½, 1 and 2 times the median distance in the data.
    """

    def __init__(
        self, dataset: Dataset, n_samples: PositiveInt = 1000, bandwidths: tuple[Positive, ...] | None = None
    ) -> None:
        if n_samples < 2:
            raise ValueError(f"n_samples: the unbiased estimate needs at least 2, got {n_samples}")
        self.n_samples = n_samples
        self.reference = dataset.test(n_samples)
        self.bandwidths = bandwidths or tuple(f * _median_distance(self.reference) for f in (0.25, 0.5, 1.0, 2.0))

    def __call__(self, energy: EnergyFn, samples: Batch) -> dict[str, float]:
        return {"mmd2": mmd2(samples, self.reference, self.bandwidths)}


def _median_distance(x: Tensor) -> float:
    return float(torch.pdist(x.flatten(1)).median())
