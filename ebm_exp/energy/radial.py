"""A mixture of round Gaussians around one point, at every noise level: for data that lie on shells.

−log p(x, t) = −log (1/K) Σ_k exp(−a_k(t) r² − d b_k(t)),  r = ‖x‖,  a_k > 0,                     (Guth et al. 2025,
"Learning normalized image densities via dual score matching", arXiv 2506.05310, with K = 2)

is what K shells of any widths have. a_k is free of b_k, so that the slope may be right where the weights of shells are
not. It is a tilted N(0, W I), W the variance at a time of noised data with variance 1. What E makes Ẽ that Gaussian,
and what 1 of Ẽ is in E, the noise process says (``Standard``); with −½(2W a_k − 1) r²/W the rest of the exponents,

E(x, t) = d height + ½ curvature r² − scale · L(x, t),  Ẽ(x, t) = r²/2W + (d/2) log 2πW − L(x, t),
L(x, t) = log (1/K) Σ_k exp(−½ (e^{g n_k} − 1) r²/W − d g m_k),  g(t) = 1/(1 + scale).
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor, nn

from ebm_exp.energy.base import Energy, Standard
from ebm_exp.energy.time import Fourier, small
from ebm_exp.precision import full_precision, wide
from ebm_exp.types import Batch, From, PerSample, PositiveInt

_N_FREQUENCIES = 4
_SPREAD = 1.0  # n lies between ± so much at first: equal components would stay equal


class Radial(Energy):
    """E(x, t) as above on the flattened point, n and m by a network of t; without time E = ½ r² − L, g = 1.

    g falls as noise hides the data, so that E is finite where all is noise. At first all components are normalised,
    m = −n/2, with variances around W: near one Gaussian, for ``noise=edm`` E = 0.

    Args:
        n_components: K.
        width: units of the two hidden layers of the network of t.
        timed: take a time t ``[batch]``, as the noise process shows it.
        standard: of the noise process, for an energy of time.

    Raises:
        ValueError: when there is no noise process to be timed by.
    """

    def __init__(
        self,
        n_components: PositiveInt = 2,
        width: PositiveInt = 64,
        timed: bool = False,
        standard: Annotated[Callable[[Tensor], Standard] | None, From("noise.standard")] = None,
    ) -> None:
        super().__init__()
        if timed and standard is None:
            raise ValueError("timed: needs a noise process")
        self.context = ("t",) * timed
        self.standard = standard if timed else None
        n = torch.linspace(-_SPREAD, _SPREAD, n_components) if n_components > 1 else torch.zeros(1)
        self.values = nn.Parameter(torch.cat([n, -n / 2]))  # n and m, to which the network adds
        layers = nn.Linear(2 * _N_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        head = small(nn.Linear(width, 2 * n_components, bias=False))
        self.network = nn.Sequential(Fourier(_N_FREQUENCIES), *layers, head) if timed else None

    def forward(self, x: Batch, **context: Tensor) -> PerSample:
        flat = wide(x.flatten(1))
        squares, d = flat.square().sum(1), flat.shape[1]
        if self.network is None or self.standard is None:
            return 0.5 * squares - _tilt(self.values[None], squares, d)
        t = wide(context["t"])
        now = self.standard(t)
        with full_precision(x.device):  # an error of n is one of d/2 nats times it
            values = (self.values + self.network(t)) / (1 + now.scale)[:, None]
        tilt = _tilt(values, squares / now.variance, d)
        return d * now.height + 0.5 * now.curvature * squares - now.scale * tilt


def _tilt(values: Tensor, squares: Tensor, d: int) -> PerSample:
    """L ``[batch]``, of g n and g m ``[batch, 2 K]`` and r²/W ``[batch]``."""
    n, m = values.chunk(2, 1)
    exponents = -0.5 * n.expm1() * squares[:, None] - d * m
    return exponents.logsumexp(1) - math.log(n.shape[1])
