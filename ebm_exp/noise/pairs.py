"""Which noise goes with which data."""

from typing import Literal

import torch

from ebm_exp.types import Batch

Pairs = Literal["random", "transport"]


def pair(z: Batch, x: Batch, pairs: Pairs) -> Batch:
    """z ``[batch, *event]`` in the order of the x they go with.

    ``random``: as they are; ``transport``: within the batch, by least squared distance (Tong et al. 2024, arXiv
    2302.00482), on the host.
    """
    return z if pairs == "random" else z[_assign(z, x)]


@torch.no_grad()
def _assign(z: Batch, x: Batch) -> torch.Tensor:
    """Which z ``[batch]`` goes to each x: all pairs together are nearest."""
    from scipy.optimize import linear_sum_assignment  # half a second that random pairs need not wait for

    cost = torch.cdist(x.flatten(1), z.flatten(1)).square().cpu().numpy()
    return torch.from_numpy(linear_sum_assignment(cost)[1]).to(x.device)
