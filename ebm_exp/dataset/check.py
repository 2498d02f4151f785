"""What a data set refuses at its construction, because training would take it without a word."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from ebm_exp.dataset.domain import Domain

_LOG = logging.getLogger(__name__)
_TOLD = 5  # names of classes in a line


def check_points(split: str, x: Tensor, domain: Domain, n_levels: int, bounded: bool) -> None:
    """One pass over the points ``[n, *event]`` of a split, none over 256 levels.

    Raises:
        ValueError: for another type or shape, no points, too high a level, NaN, infinite values, and values outside the
            domain if they are to be bounded by it.
    """
    if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.uint8):
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"{split}: must be a tensor of float32, or of uint8 levels, got {got}")
    if tuple(x.shape[1:]) != tuple(domain.event_shape) or x.ndim == 0:
        raise ValueError(f"{split}: must be points {list(domain.event_shape)}, the domain's, got {list(x.shape[1:])}")
    if len(x) == 0:
        raise ValueError(f"{split}: holds no points")
    if x.is_meta or (x.dtype == torch.uint8 and n_levels == 256):
        return
    low, high = (float(end) for end in x.aminmax())
    if x.dtype == torch.uint8:
        if high >= n_levels:
            raise ValueError(f"{split}: must be levels 0 … {n_levels - 1}, got {high:.0f}")
        return
    if not (low > -float("inf") and high < float("inf")):
        n_bad = int((~x.isfinite()).flatten(1).any(1).sum())
        raise ValueError(f"{split}: {n_bad:,} of {len(x):,} points hold NaN or infinite values")
    rounding = 1e-6 * max(domain.high - domain.low, abs(domain.low), abs(domain.high))
    if bounded and (low < domain.low - rounding or high > domain.high + rounding):
        raise ValueError(
            f"{split}: must be in the domain [{domain.low:g}, {domain.high:g}], got values from {low:g} to {high:g} "
            "(clamp_noise=False allows points outside)"
        )


def check_labels(key: str, y: Tensor, n: int, n_classes: int) -> None:
    """One pass over the labels ``[n]`` of a split.

    Raises:
        ValueError: for another type, number or range.
    """
    if not isinstance(y, Tensor) or y.is_floating_point() or y.is_complex():
        raise ValueError(f"{key}: must be a tensor of integers, got {getattr(y, 'dtype', type(y).__name__)}")
    if tuple(y.shape) != (n,):
        raise ValueError(f"{key}: must be [{n}], one for each point, got {list(y.shape)}")
    if y.is_meta:
        return
    low, high = (int(end) for end in y.aminmax())
    if n_classes == 0:
        raise ValueError(f"{key}: n_classes must be at least {high + 1} for labels {low} … {high}, got 0")
    if low < 0 or high >= n_classes:
        raise ValueError(f"{key}: must be 0 … {n_classes - 1} (n_classes={n_classes}), got {low} … {high}")


def tell_unseen(y: Tensor | None, names: Sequence[str]) -> list[str]:
    """The classes that no training point is of, by labels ``[n]`` of those; a line names them."""
    if y is None or y.is_meta:
        return []
    counts = torch.bincount(y, minlength=len(names))
    unseen = [name for name, n in zip(names, counts.tolist(), strict=True) if n == 0]
    if unseen:
        _LOG.warning("dataset: no training point is of class %s", list_names(unseen))
    return unseen


def list_names(names: Sequence[str]) -> str:
    """The first few of some names."""
    return ", ".join(names[:_TOLD]) + (f" and {len(names) - _TOLD:,} more" if len(names) > _TOLD else "")
