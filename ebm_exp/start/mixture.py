"""A density near the data's: Gaussians fitted to it, with a tenth of uniform points on the box."""

import math
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.precision import full_precision
from ebm_exp.random import derive_seed
from ebm_exp.random import generator as derived_generator
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, Conditional, PerSample, Points, PositiveInt, Provided

UNIFORM_SHARE = 0.1  # keeps p/q bounded where the Gaussians are low
N_POINTS = 10_000  # training points that are looked at
_FITS: WeakKeyDictionary[Dataset, dict[int, Any]] = WeakKeyDictionary()  # by number of components


class Mixture(Start):
    """Gaussians with covariances of their own, fitted by expectation maximisation (scikit-learn's).

    Args:
        dataset: gives training points and box.
        n_components: number of Gaussians, each with a covariance of its own.
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
        self, dataset: Provided[Dataset], n_components: PositiveInt = 32, conditional: Conditional = False
    ) -> None:
        super().__init__()
        self.dataset, self.domain, self.conditional = dataset, dataset.domain, conditional
        fit = _fitted(dataset, n_components)
        covariances = torch.from_numpy(fit.covariances_)
        self.register_buffer("means", torch.from_numpy(fit.means_).float())
        self.register_buffer("cholesky", torch.linalg.cholesky(covariances).float())
        self.register_buffer("weights", torch.from_numpy(fit.weights_).float())
        whiten = torch.linalg.inv(self.cholesky)  # [components, d, d]
        log_peak = self.weights.log() - self.cholesky.diagonal(dim1=1, dim2=2).log().sum(1)
        self.register_buffer("whiten", whiten.flatten(0, 1).T.contiguous())
        self.register_buffer("whitened_means", (whiten @ self.means.unsqueeze(2)).squeeze(2))
        self.register_buffer("log_peak", log_peak - self.means.shape[1] / 2 * math.log(2 * math.pi))

    def draw(self, n: int, generator: torch.Generator) -> Points:
        """n independent points ``[n, *event]``; some may lie outside the box."""
        device, (n_components, d) = self.means.device, self.means.shape
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, d, generator=generator, device=device)
        with full_precision(device):  # chains that begin or jump inside of an autocast draw from the same density
            # Lz of every component at once: a matrix for each point would be d/n_components times as much to move.
            every = (z @ self.cholesky.permute(2, 0, 1).reshape(d, -1)).view(n, n_components, d)
            z = every.gather(1, k.view(-1, 1, 1).expand(-1, 1, d)).squeeze(1)
        x = (self.means[k] + z).view(n, *self.domain.event_shape)
        uniform = torch.rand(n, generator=generator, device=device) < UNIFORM_SHARE
        box = self.domain.uniform(n, generator, device)
        x = torch.where(uniform.view(-1, *[1] * (x.dim() - 1)), box, x)
        return Points(x, self.dataset.random_labels(n, generator) if self.conditional else None)

    def log_prob(self, x: Batch) -> PerSample:
        """Log-density ``[batch]`` at points of the box, in nats."""
        flat = x.flatten(1)
        with full_precision(x.device):
            z = (flat @ self.whiten).view(len(flat), *self.whitened_means.shape) - self.whitened_means
        gaussians = torch.logsumexp(self.log_peak - z.square().sum(2) / 2, 1) + math.log(1 - UNIFORM_SHARE)
        uniform = math.log(UNIFORM_SHARE) - flat.shape[1] * math.log(self.domain.high - self.domain.low)
        return torch.logaddexp(gaussians, torch.full_like(gaussians, uniform))


def _fitted(dataset: Dataset, n_components: int) -> Any:
    """The fit to a data set; one experiment may ask for it in several places: starts, proposals, a base."""
    fits = _FITS.setdefault(dataset, {})
    if n_components not in fits:
        from sklearn.mixture import GaussianMixture

        seed = derive_seed("proposal", dataset.name) % 2**32
        fits[n_components] = GaussianMixture(n_components, random_state=seed).fit(_points(dataset).numpy())
    return fits[n_components]


def _points(dataset: Dataset) -> Tensor:
    """Training points ``[n, d]`` in float64; levels are dequantized, as often as it takes."""
    x = dataset.train(N_POINTS).flatten(1).double().cpu()
    if not dataset.dequantize:
        return x
    low, width, n_levels = dataset.domain.low, dataset.domain.high - dataset.domain.low, dataset.n_levels
    x = x.repeat(-(-N_POINTS // len(x)), 1)[:N_POINTS]
    u = torch.rand(x.shape, generator=derived_generator("cpu", "proposal", dataset.name), dtype=x.dtype)
    return low + ((x - low) * (n_levels - 1) / width + u) * width / n_levels
