"""A known density, tilted by a network: p(x) ∝ q(x) exp(−N(x)) (Xie et al. 2016, Eq. 2).

Chains have a sound target from the first update, and what q says already the network need not learn.
"""

from torch import Tensor

from ebm_exp.energy.base import Energy
from ebm_exp.start import Start
from ebm_exp.types import Batch, PerSample


class Tilted(Energy):
    """E(x) = N(x) − log q(x), in nats: a density at T = 1.

    Args:
        network: N.
        base: q, of known density; it is not trained.

    Raises:
        ValueError: when the density of q is not known.
    """

    def __init__(self, network: Energy, base: Start) -> None:
        super().__init__()
        if not base.has_density:
            raise ValueError(f"base: needs a known density, {base.name} has none; try mixture, independent or uniform")
        self.network, self.base = network, base
        self.context, self.optional = network.context, network.optional

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        return self.network(x, **context) - self.base.log_prob(x).float()
