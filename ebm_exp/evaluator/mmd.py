"""Maximum mean discrepancy: a distance of distributions that also sees what mean and covariance do not.

MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y),  k(x, y) = exp(−|x − y|²/(2σ²))

in the unbiased estimate that leaves out the pairs i = j (Gretton et al. 2012, Eq. 3).
"""

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.evaluator.base import DISTANCE, Evaluator, Kind, Model, Score, check_samples
from ebm_exp.types import Positive, PositiveInt, Provided

N_REFERENCE = 4000  # at most so many test points, evenly spread over the split
BLOCK = 1024  # rows of the distance matrix in memory at once
MEDIAN_MULTIPLES = (0.25, 0.5, 1.0, 2.0)


class MMD(Evaluator):
    """``mmd2``: unbiased MMD² between samples and the test split, the mean over bandwidths; 0 is best.

    Unbiased means that for samples of the data's own distribution it is often negative. It can sit at this floor while
    the weights of modes are wrong: judge a density by its likelihood too.

    Args:
        dataset: gives the test split; its first use computes the reference's own term, which is kept.
        n_samples: how many samples are compared.
        bandwidths: the σ of the kernels, in units of the domain; null: ¼, ½, 1 and 2 times the median distance between
            two test points.

    Raises:
        ValueError: when fewer than two samples are asked for, the test split has fewer than two points, or there
            is no bandwidth or one that is not positive.
    """

    def __init__(
        self, dataset: Provided[Dataset], n_samples: PositiveInt, bandwidths: tuple[Positive, ...] | None = None
    ) -> None:
        if n_samples < 2:
            raise ValueError(f"n_samples must be at least 2, got {n_samples}")
        if dataset.n_test < 2:
            raise ValueError(f"the test split must hold at least 2 points, it has {dataset.n_test}")
        if bandwidths is not None and not (bandwidths and all(s > 0 for s in bandwidths)):
            raise ValueError(f"bandwidths must be one or more positive numbers, or null, got {list(bandwidths)}")
        self.dataset = dataset
        self.n_samples = n_samples
        self.bandwidths = bandwidths
        self._reference: tuple[Tensor, tuple[float, ...], Tensor] | None = None  # points, bandwidths, E k(y, y′)

    def gives(self) -> dict[str, Kind]:
        return {"mmd2": DISTANCE}

    @property
    def protocol(self) -> str:
        return f"RBF kernels, {self.n_samples:,} samples against at most {N_REFERENCE:,} of the test split"

    def __call__(self, model: Model) -> dict[str, Score]:
        """``mmd2``; NaN when a sample is not a number.

        Raises:
            ValueError: when there are fewer than two samples, they are not of the data's shape, or half of all pairs
                of test points coincide and the bandwidths should follow from them.
        """
        samples = model.samples(self.n_samples).x
        check_samples(samples, self.dataset.event_shape)
        if self._reference is None:
            y = _points(self._test_points())
            bandwidths = self.bandwidths or tuple(m * _median_distance(y) for m in MEDIAN_MULTIPLES)
            self._reference = y, bandwidths, _mean_within(y, bandwidths)
        y, bandwidths, within_y = self._reference
        x = _points(samples.to(y.device))
        between = _kernel_sum(x, y, bandwidths) / (len(x) * len(y))
        return {"mmd2": Score(float((_mean_within(x, bandwidths) + within_y - 2 * between).mean()), n=len(x))}

    def _test_points(self) -> Tensor:
        y = self.dataset.test()
        if len(y) <= N_REFERENCE:
            return y
        return y[torch.linspace(0, len(y) - 1, N_REFERENCE, dtype=torch.float64, device=y.device).long()]


def _points(x: Tensor) -> Tensor:
    """[n, d] in double precision: distances through a matrix product lose half of the digits."""
    return x.detach().flatten(1).double()


def _kernel_sum(x: Tensor, y: Tensor, bandwidths: tuple[float, ...]) -> Tensor:
    """Σᵢⱼ k(xᵢ, yⱼ) per bandwidth ``[n_bandwidths]``, for x ``[n, d]`` and y ``[m, d]``."""
    total = x.new_zeros(len(bandwidths))
    for block in x.split(BLOCK):
        squared = torch.cdist(block, y).square_()  # [block, m]
        total += torch.stack([squared.mul(-0.5 / s**2).exp_().sum() for s in bandwidths])
    return total


def _mean_within(x: Tensor, bandwidths: tuple[float, ...]) -> Tensor:
    """Mean of k(xᵢ, xⱼ) over i ≠ j ``[n_bandwidths]``; k(x, x) = 1 is what the diagonal adds to the sum."""
    return (_kernel_sum(x, x, bandwidths) - len(x)) / (len(x) * (len(x) - 1))


def _median_distance(y: Tensor) -> float:
    n = len(y)
    distances = torch.cdist(y, y).flatten()[1:].view(n - 1, n + 1)[:, :-1]  # the diagonal is the cut-off column
    median = float(distances.median())
    if not median > 0:
        raise ValueError("bandwidths must be given: the median distance of the test points is 0")
    return median
