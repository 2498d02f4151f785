"""Independent bits: q(x) = Π_i p_i^{b_i} (1 − p_i)^{1 − b_i}, where b_i = 1 at the upper end of the domain."""

import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.random import generator as derived_generator
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, Conditional, PerSample, Points, Provided

N_POINTS = 10_000  # training points that frequencies are of


class Bits(Start):
    """Points of two levels, each component by its frequency in the training points; ``log_prob`` is of probabilities.

    Args:
        dataset: gives training points, and the two levels.
        conditional: draw labels of the data's distribution too.
    """

    name = "independent bits"
    binary = True
    requires = "binary"

    logit: Tensor  # [*event], float64, of p

    def __init__(self, dataset: Provided[Dataset], conditional: Conditional = False) -> None:
        super().__init__()
        self.dataset, self.conditional = dataset, conditional
        n = min(N_POINTS, dataset.n_train)
        x = dataset.noisy(n, derived_generator(dataset.device, "bits start", dataset.name)).x.double()
        ones = ((x - dataset.domain.low) / (2 * dataset.domain.half_width)).sum(0)
        self.register_buffer("logit", ((ones + 0.5) / (n + 1)).logit())  # no frequency is 0 or 1 (Jeffreys)

    def draw(self, n: int, generator: torch.Generator) -> Points:
        """n independent points ``[n, *event]``, ends of the domain."""
        u = torch.rand((n, *self.logit.shape), generator=generator, device=self.logit.device, dtype=torch.float64)
        x = torch.where(u < self.logit.sigmoid(), self.dataset.domain.high, self.dataset.domain.low).float()
        return Points(x, self.dataset.random_labels(n, generator) if self.conditional else None)

    def log_prob(self, x: Batch) -> PerSample:
        """Log-probability ``[batch]`` of points of two levels, in nats; linear in them."""
        bits = (x - self.dataset.domain.low) / (2 * self.dataset.domain.half_width)
        each = bits * self.logit + torch.nn.functional.logsigmoid(-self.logit)
        return each.flatten(1).sum(1)
