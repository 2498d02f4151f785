"""The constant of the densities of a noise process, measured where noise is most.

There a point y = share · x + width · z is nearly normal, whatever the data: q = N(share · m, C), C = share² Cov(x) +
width² I, with errors of third order in share²Cov/width². Its entropy is that of q, which is E[−log q(y)] too, for q has
the mean and the covariance of y. So

log ∫ exp(−Ẽ) = ½ log det 2πe C − E[Ẽ(y)] = E[−log q(y) − Ẽ(y)],

and of the last form all points have nearly the same number.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch.distributions import MultivariateNormal

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.base import Energy
from ebm_exp.random import normal_like

if TYPE_CHECKING:
    from ebm_exp.noise.base import NoiseProcess

N_POINTS = 2**13
BLOCK = 2**10  # points whose energies are computed at once


@torch.no_grad()
def measure(noise: "NoiseProcess", energy: Energy, dataset: Dataset, generator: torch.Generator) -> tuple[float, float]:
    """log ∫ exp(−Ẽ(x, t)) dx at the time of most noise, in nats, and its standard error.

    Args:
        noise: the process.
        energy: of time, fitted to it, at rest.
        dataset: gives training points.
        generator: on the data set's device.
    """
    t = noise.span[0]
    x = dataset.noisy(N_POINTS, generator).x
    y = noise.share(t) * x + noise.width(t) * normal_like(x, generator)
    flat = noise.share(t) * x.flatten(1).double()
    covariance = torch.atleast_2d(torch.cov(flat.T, correction=0))
    covariance.diagonal().add_(noise.width(t) ** 2)
    nearly = MultivariateNormal(flat.mean(0), covariance)
    density = noise.energy_at(energy, t)
    log_w = torch.cat([-nearly.log_prob(b.flatten(1).double()) - density(b).double() for b in y.split(BLOCK)])
    return float(log_w.mean()), float(log_w.std()) / math.sqrt(len(log_w))
