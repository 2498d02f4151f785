"""Points that are unlike the data: what an out-of-distribution score should tell from it, made of the data itself."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.random import generator
from ebm_exp.types import Batch, Points


def constant(x: Batch, domain: Domain, g: Generator) -> Batch:
    """One level per point, of images one per channel, uniform on the domain."""
    n_levels = x.shape[1] if x.dim() == 4 else 1
    levels = torch.empty(len(x), n_levels, *[1] * (x.dim() - 2), device=x.device)
    return levels.uniform_(domain.low, domain.high, generator=g).expand_as(x).contiguous()


def uniform(x: Batch, domain: Domain, g: Generator) -> Batch:
    """Uniform noise on the domain."""
    return domain.uniform(len(x), g, x.device)


def shuffled_pixels(x: Batch, domain: Domain, g: Generator) -> Batch:
    """Pixels of each image, or components of each point, in an order of its own: the same colours, no shapes."""
    flat = x.flatten(2) if x.dim() == 4 else x.flatten(1).unsqueeze(1)  # [n, channels, pixels]
    order = torch.rand(len(x), 1, flat.shape[2], generator=g, device=x.device).argsort(2)
    return flat.gather(2, order.expand_as(flat)).view_as(x)


def inverted(x: Batch, domain: Domain, g: Generator) -> Batch:
    """low + high − x: the negative of a photograph."""
    return domain.low + domain.high - x


def interpolation(x: Batch, domain: Domain, g: Generator) -> Batch:
    """The mean of a point and another one, each point once on either side."""
    order = torch.randperm(len(x), generator=g, device=x.device)
    mean = torch.empty_like(x)
    mean[order] = (x[order] + x[order.roll(1)]) / 2
    return mean


MADE: dict[str, Callable[[Batch, Domain, Generator], Batch]] = {
    each.__name__: each for each in (constant, uniform, shuffled_pixels, inverted, interpolation)
}


def make(name: str, x: Batch, domain: Domain) -> Batch:
    """One of ``MADE`` of points x ``[n, *event]``: like x, always the same ones."""
    return MADE[name](x, domain, generator(x.device, "out of distribution", name))


def spread(dataset: Dataset, n: int) -> Points:
    """n points ``[n, *event]`` of the test split, evenly spread over it, with their labels; all when it has fewer."""
    x, y = dataset.test(), dataset.test_labels
    index = torch.arange(min(n, len(x)), device=x.device) * len(x) // min(n, len(x))
    return Points(x[index], None if y is None else y[index])


def foreign(dataset: Dataset, domain: Domain, n: int) -> Tensor:
    """n test points ``[n, *event]`` of another data set, its range of values moved to a domain."""
    x, own = spread(dataset, n).x, dataset.domain
    return domain.centre + (x - own.centre) * (domain.half_width / own.half_width)
