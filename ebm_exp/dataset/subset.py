"""Parts of a data set: some of its classes, or a number of its points."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_exp.dataset.names import find
from ebm_exp.random import generator
from ebm_exp.types import Name


def choose_classes(classes: Sequence[Name] | None, names: Sequence[str]) -> list[int] | None:
    """The labels of classes given by name or number, in their order; None for all.

    Raises:
        ValueError: when there is no such class, naming those there are, or one could be several.
    """
    if classes is None:
        return None
    if not names:
        raise ValueError("classes: this data set has no labels")
    try:
        found = [find(each, names) for each in classes]
    except ValueError as error:
        raise ValueError(f"classes: {error}; which one, quotes say: classes=['…']") from None
    chosen = [k for k in found if k is not None]
    if len(chosen) < len(found) or not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"classes: must be different ones of {', '.join(names)}, got {list(classes)}")
    return chosen


def subset(
    x: Tensor, y: Tensor | None, chosen: list[int] | None, n: int | None, split: str
) -> tuple[Tensor, Tensor | None]:
    """Points and labels of one split, of the chosen classes (numbered anew, in their order), n of them.

    n are taken by a permutation that is the same for every seed, so that a folder sorted by class gives all classes.

    Args:
        x: points ``[m, *event]``, copied only when some are left out.
        y: labels ``[m]``.
        chosen: labels to keep.
        n: how many to keep.
        split: ``train`` or ``test``, for the message.

    Raises:
        ValueError: when there are fewer than n points, or none of the chosen classes.
    """
    index = torch.arange(len(x))
    if chosen is not None and y is not None:
        number = torch.full((max([int(y.max()), *chosen]) + 1,), -1)
        number[chosen] = torch.arange(len(chosen))
        index = index[number[y] >= 0]
        y = number[y]
        if len(index) == 0:
            raise ValueError(f"classes: no point of the {split} split is of these classes")
    if n is not None:
        if n > len(index):
            raise ValueError(f"n_{split}: must be at most {len(index):,}, the points of this split, got {n:,}")
        order = torch.randperm(len(index), generator=generator("cpu", "dataset", "subset", split))
        index = index[order[:n]]
    if len(index) == len(x) and n is None:
        return x, y
    return x[index], None if y is None else y[index]


def split_within_classes(
    labels: Tensor | None, n: int, test_share: float, key: str, at_least: int = 1
) -> tuple[Tensor, Tensor]:
    """The places ``[n_train]`` of the points to train on, and ``[n_test]`` of those held out: the same for every seed.

    Of each class the same share is held out, up to one point, and one is always left to train on: of a class of one
    point it is that one. So where classes are small, fewer are held out than were asked for.

    Args:
        labels: ``[n]``; None: all points are of one class, and a random share of them is held out.
        n: number of points.
        test_share: how many to hold out, of all; at least one point unless it is 0.
        key: names the permutation that points are taken by.
        at_least: so many are left to train on.
    """
    order = torch.randperm(n, generator=generator("cpu", "dataset", key, "split"))
    n_test = max(0, min(max(1, round(test_share * n)), n - at_least)) if test_share else 0
    y = torch.zeros(n, dtype=torch.int64) if labels is None else labels.cpu()[order]
    by_class = y.argsort(stable=True)
    counts = torch.bincount(y)
    within = torch.empty_like(order)  # how many of its class come before it in the order
    within[by_class] = torch.arange(n) - (counts.cumsum(0) - counts)[y[by_class]]
    share = (within + 0.5).double() / counts[y]  # so each class is spread evenly over the points by this number
    first = share.argsort(stable=True)
    chosen = first[within[first] < counts[y[first]] - 1][:n_test]
    held_out = torch.zeros(n, dtype=torch.bool)
    held_out[chosen] = True
    return order[~held_out], order[held_out]
