"""A density with the data's means and deviations: components are independent, each normal within the box.

q(x) = Π_i φ((x_i − m_i)/s_i) / (s_i (Φ(b_i) − Φ(a_i))),  a_i = (low − m_i)/s_i,  b_i = (high − m_i)/s_i.
"""

import math

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.random import generator as derived_generator
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, Conditional, PerSample, Points, Provided

N_POINTS = 10_000  # noisy training points that mean and deviation are of
NARROWEST = 1e-3  # deviation, in units of the box's width


class Independent(Start):
    """Independent truncated normals, with the parameters m and s of the training points.

    Its density on the box is exact, and closer to images than a uniform one.

    Args:
        dataset: gives training points, with their noise, and the box.
        conditional: draw labels of the data's distribution too.
    """

    name = "independent truncated normals"

    mean: Tensor  # [*event], float64
    std: Tensor  # [*event], float64
    low: Tensor  # [*event], Φ(a)
    mass: Tensor  # [*event], Φ(b) − Φ(a)

    def __init__(self, dataset: Provided[Dataset], conditional: Conditional = False) -> None:
        super().__init__()
        self.dataset, self.conditional = dataset, conditional
        domain = dataset.domain
        n = min(N_POINTS, dataset.n_train)
        points = dataset.noisy(n, derived_generator(dataset.device, "independent start", dataset.name)).x.double()
        width = domain.high - domain.low
        self.register_buffer("mean", points.mean(0))
        self.register_buffer("std", points.std(0).clamp(min=NARROWEST * width))
        low, high = self._cdf(domain.low), self._cdf(domain.high)
        self.register_buffer("low", low)
        self.register_buffer("mass", high - low)
        self.log_peak = float((self.std * self.mass).log().sum()) + self.mean.numel() / 2 * math.log(2 * math.pi)

    def _cdf(self, x: float) -> Tensor:
        return torch.special.ndtr((x - self.mean) / self.std)

    def draw(self, n: int, generator: torch.Generator) -> Points:
        """n independent points ``[n, *event]`` of the box."""
        shape, device = (n, *self.mean.shape), self.mean.device
        u = torch.rand(shape, generator=generator, device=device, dtype=torch.float64)
        z = torch.special.ndtri(self.low + u * self.mass)
        domain = self.dataset.domain
        x = (self.mean + self.std * z).float().clamp(domain.low, domain.high)  # the ends of a float32 may stand out
        return Points(x, self.dataset.random_labels(n, generator) if self.conditional else None)

    def log_prob(self, x: Batch) -> PerSample:
        """Log-density ``[batch]`` at points of the box, in nats."""
        z = (x - self.mean) / self.std
        return -z.square().flatten(1).sum(1) / 2 - self.log_peak
