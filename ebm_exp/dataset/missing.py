"""What is missing in rows, drawn from a Gaussian given what is there.

x_m | x_o ~ N(μ_m + Σ_mo Σ_oo⁻¹ (x_o − μ_o),  Σ_mm − Σ_mo Σ_oo⁻¹ Σ_om)

μ and Σ are fitted to rows with gaps by expectation maximisation (Dempster et al. 1977; Little & Rubin 2002, section
11.2). One batch holds rows with different gaps: what is missing takes the identity's rows in Σ, so that all are solved
at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor

N_ITERATIONS = 100
ENOUGH = 1e-4  # change of μ and Σ, in the columns' deviations, at which the fit is done
FLOOR = 1e-3  # added to variances: columns that follow from each other, and more columns than rows
BLOCK = 1024  # rows that are looked at together


class Gaussian(NamedTuple):
    """μ ``[d]`` and Σ ``[d, d]``."""

    mean: Tensor
    covariance: Tensor

    def fill(self, x: Tensor, missing: Tensor, z: Tensor | None = None) -> Tensor:
        """Rows ``[n, d]`` with what is missing drawn, by normal numbers z ``[n, d]``; None: its mean.

        The draw is that of Matheron: a point of the whole Gaussian, moved by what its error at x_o says of the rest.
        """
        mean, covariance = self.mean.to(x), self.covariance.to(x)
        there = (~missing).to(x)
        point = mean.expand_as(x) if z is None else mean + z @ torch.linalg.cholesky_ex(covariance).L.T
        error = torch.where(missing, 0.0, x - point)
        return torch.where(missing, point + self._regress(error, there) @ covariance, x)

    def log_prob(self, x: Tensor, there: Tensor) -> Tensor:
        """Log-density ``[n]``, but for a constant of each row, of what is there (1, else 0) of rows ``[n, d]``."""
        error = torch.where(there > 0, x - self.mean.to(x), 0.0)
        factor = torch.linalg.cholesky_ex(self._observed(there)).L
        squared = (error * self._regress(error, there)).sum(1)
        return -squared / 2 - factor.diagonal(dim1=1, dim2=2).log().sum(1)

    def _regress(self, error: Tensor, there: Tensor) -> Tensor:
        """Σ_oo⁻¹ of errors ``[n, d]``, 0 where something is missing."""
        factor = torch.linalg.cholesky_ex(self._observed(there)).L
        return there * torch.cholesky_solve(error.unsqueeze(2), factor).squeeze(2)

    def _observed(self, there: Tensor) -> Tensor:
        both = there.unsqueeze(2) * there.unsqueeze(1)
        return self.covariance.to(there) * both + torch.diag_embed(1 - there)

    def uncertainty(self, there: Tensor) -> Tensor:
        """The sum over rows of the covariance ``[d, d]`` of what is missing."""
        weighted = self.covariance * there.unsqueeze(1)  # [n, d, d]: columns that are there
        factor = torch.linalg.cholesky_ex(self._observed(there)).L
        explained = weighted @ torch.cholesky_solve(weighted.mT, factor)
        gap = 1 - there
        return ((self.covariance - explained) * gap.unsqueeze(2) * gap.unsqueeze(1)).sum(0)


def fit_gaussian(x: Tensor, missing: Tensor) -> Gaussian:
    """The Gaussian of most likelihood of rows ``[n, d]`` with gaps, in float64."""
    x = torch.where(missing, 0.0, x).double()
    n_there = (~missing).sum(0)
    mean = x.sum(0) / n_there
    spread = (torch.where(missing, 0.0, x - mean)).square().sum(0) / n_there
    now = Gaussian(mean, torch.diag(spread + FLOOR))
    with_gaps = missing.any(1)
    blocks = torch.nonzero(with_gaps).squeeze(1).split(BLOCK)
    for _ in range(N_ITERATIONS):
        filled, more = x.clone(), torch.zeros_like(now.covariance)
        for rows in blocks:
            filled[rows] = now.fill(x[rows], missing[rows])
            more += now.uncertainty((~missing[rows]).double())
        mean = filled.mean(0)
        centred = filled - mean
        floor = FLOOR * torch.eye(x.shape[1], dtype=x.dtype)
        following = Gaussian(mean, (centred.T @ centred + more) / len(x) + floor)
        moved = max(float((a - b).abs().max()) for a, b in zip(following, now, strict=True))
        now = following
        if moved <= ENOUGH:
            break
    return now
