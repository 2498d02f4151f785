"""Which noise goes with which data."""

from typing import Literal

import torch

from ebm_exp.random import Rows, Source, normal_like
from ebm_exp.types import Batch

Pairs = Literal["random", "transport"]


def draw_pairs(x: Batch, source: Source, pairs: Pairs) -> Batch:
    """Standard normal z ``[batch, *event]`` in the order of the x they go with.

    ``random``: as they come; ``transport``: within the batch, by least squared distance (Tong et al. 2024, arXiv
    2302.00482), on the host; of a batch that ranks share, within all of it.
    """
    if pairs == "random":
        return normal_like(x, source)
    if not isinstance(source, Rows):
        z = normal_like(x, source)
        return z[_assign(z, x)]
    everyone = source.ranks.gather(x)
    return source.take(draw_pairs(everyone, source.generator, pairs))


@torch.no_grad()
def _assign(z: Batch, x: Batch) -> torch.Tensor:
    """Which z ``[batch]`` goes to each x: all pairs together are nearest."""
    from scipy.optimize import linear_sum_assignment  # half a second that random pairs need not wait for

    cost = torch.cdist(x.flatten(1), z.flatten(1)).square().cpu().numpy()
    return torch.from_numpy(linear_sum_assignment(cost)[1]).to(x.device)
