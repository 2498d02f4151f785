"""A density near the data's: Gaussians fitted to it, with a share of uniform points on the box.

q(x) = (1 − w) Σ_k π_k N(x; m_k, S_k) + w / |box|

Within the box (``bounded``) the Gaussians are of v = Φ⁻¹(u), u = (x − low)/(high − low) in each component, so no point
lies outside, and N(x) above becomes N(v) Π_i dv_i/dx_i. It fits grey levels that heap up at black and white, too.
"""

import math

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.precision import full_precision
from ebm_exp.start.base import Start
from ebm_exp.start.fit import Question, fit, unbound
from ebm_exp.types import (
    Batch,
    Conditional,
    NonNegative,
    PerSample,
    Points,
    PositiveInt,
    Probability,
    Provided,
    per_point,
)


class Mixture(Start):
    """Gaussians with covariances of their own, fitted by expectation maximisation (scikit-learn's).

    Args:
        dataset: gives training points and box.
        n_components: number of Gaussians, each with a covariance of its own; null: 1, 2, 4, … as suits the data.
        bounded: fit them within the box.
        uniform_share: w; it keeps p/q bounded where the Gaussians are low.
        variance_floor: added to the variances that are fitted, in units of x, or of v; null: as suits the data. What
            is null is chosen by cross-validation on training points.
        conditional: draw labels of the data's distribution too.
    """

    name = "a mixture fitted to the data"

    means: Tensor  # [components, d]
    cholesky: Tensor  # [components, d, d]
    weights: Tensor  # [components]
    whiten: Tensor  # [d, components·d]
    whitened_means: Tensor  # [components, d]
    log_peak: Tensor  # [components]

    def __init__(
        self,
        dataset: Provided[Dataset],
        n_components: PositiveInt | None = 32,
        bounded: bool = False,
        uniform_share: Probability = 0.1,
        variance_floor: NonNegative | None = 1e-6,
        conditional: Conditional = False,
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.domain = dataset.domain
        self.conditional = conditional
        self.bounded, self.uniform_share = bounded, uniform_share
        fitted = fit(dataset, Question(n_components, bounded, variance_floor))
        covariances = torch.from_numpy(fitted.covariances_)
        self.register_buffer("means", torch.from_numpy(fitted.means_).float())
        self.register_buffer("cholesky", torch.linalg.cholesky(covariances).float())
        self.register_buffer("weights", torch.from_numpy(fitted.weights_).float())
        whiten = torch.linalg.inv(self.cholesky)  # [components, d, d]
        log_peak = self.weights.log() - self.cholesky.diagonal(dim1=1, dim2=2).log().sum(1)
        self.register_buffer("whiten", whiten.flatten(0, 1).T.contiguous())
        self.register_buffer("whitened_means", (whiten @ self.means.unsqueeze(2)).squeeze(2))
        self.register_buffer("log_peak", log_peak - self.means.shape[1] / 2 * math.log(2 * math.pi))

    def draw(self, n: int, generator: torch.Generator) -> Points:
        """n independent points ``[n, *event]``; some may lie outside the box, unless they are ``bounded``."""
        device, (n_components, d) = self.means.device, self.means.shape
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, d, generator=generator, device=device)
        with full_precision(device):  # chains that begin or jump inside of an autocast draw from the same density
            # Lz of every component at once: a matrix for each point would be d/n_components times as much to move.
            every = (z @ self.cholesky.permute(2, 0, 1).reshape(d, -1)).view(n, n_components, d)
            z = every.gather(1, k.view(-1, 1, 1).expand(-1, 1, d)).squeeze(1)
            flat = self.means[k] + z
            flat = _within(flat, self.domain) if self.bounded else flat
        x = flat.view(n, *self.domain.event_shape)
        uniform = torch.rand(n, generator=generator, device=device) < self.uniform_share
        box = self.domain.uniform(n, generator, device)
        x = torch.where(per_point(uniform, x), box, x)
        return Points(x, self.dataset.random_labels(n, generator) if self.conditional else None)

    def log_prob(self, x: Batch) -> PerSample:
        """Log-density ``[batch]`` at points of the box, in nats."""
        flat, log_width = x.flatten(1), math.log(self.domain.high - self.domain.low)
        with full_precision(x.device):
            v = unbound(flat, self.domain) if self.bounded else flat
            z = (v @ self.whiten).view(len(v), *self.whitened_means.shape) - self.whitened_means
        gaussians = torch.logsumexp(self.log_peak - z.square().sum(2) / 2, 1)
        if self.bounded:  # du/dv is the normal density
            gaussians = gaussians + (v.square() / 2 + math.log(2 * math.pi) / 2 - log_width).sum(1)
        if not self.uniform_share:
            return gaussians
        uniform = math.log(self.uniform_share) - flat.shape[1] * log_width
        return torch.logaddexp(gaussians + math.log1p(-self.uniform_share), torch.full_like(gaussians, uniform))


def _within(v: Tensor, domain: Domain) -> Tensor:
    """Points of the box, of v."""
    u = torch.special.ndtr(v)
    return (domain.low + u * (domain.high - domain.low)).clamp(domain.low, domain.high)
