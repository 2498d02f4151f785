"""What a notebook hands to a run as points, checked, and what it gets back: arrays for arrays, tensors for tensors."""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.names import find_classes
from ebm_exp.energy import Energy
from ebm_exp.types import EnergyFn, Points

if TYPE_CHECKING:
    from ebm_exp.run.loaded import LoadedRun

_BLOCK = 4096  # points
_BETWEEN = ("ebm_exp", "torch", "jaxtyping")  # whoever asks and us
_ROUNDING = 1e-6  # of the domain's width


class Handed(NamedTuple):
    """Points of a run.

    Attributes:
        x: ``[n, *event]``, float32 on the run's device.
        y: their labels ``[n]``, where there are any.
        back: a tensor as what they were handed as.
    """

    x: Tensor
    y: Tensor | None
    back: Callable[[Tensor], Any]


def take(run: "LoadedRun", x: Any, y: Any = None, raw: bool = False, anywhere: bool = False) -> Handed:
    """Points that were handed over.

    Args:
        run: whose points they are.
        x: ``[n, *event]``, an array, a tensor, or what ``draw`` gave, with its labels; in own units if ``raw``.
        y: labels, by name or number: one for all, or one for each.
        raw: x is in the data's own units.
        anywhere: outside of the domain too, where what ``draw`` gave may be.

    Raises:
        UserError: naming the shape, type, column or class that the run does not have.
    """
    if isinstance(x, Points):
        x, y, anywhere = x.x, x.y if y is None else y, True
    back = give_back(x)
    points = encode(run, x) if raw else _as_points(run, x)
    if not anywhere:
        _tell_outside(run, points)
    device = run.parts["device"]
    labels = None if y is None else _labels(run, y, len(points)).to(device)
    return Handed(_differentiable(points.to(device)), None if labels is None else _differentiable(labels), back)


def _differentiable(x: Tensor) -> Tensor:
    """What ``torch.inference_mode`` has made takes part in no graph; a copy does."""
    return x.clone() if x.is_inference() else x


def in_blocks(energy: Energy, handed: Handed, work: Callable[[EnergyFn, Tensor], Tensor]) -> Tensor:
    """What work makes of an energy and of points ``[n, *event]``, at most 4,096 of them at once.

    Raises:
        UserError: when the energy needs labels and there are none.
    """
    x, y = handed.x, handed.y
    blocks = [slice(i, i + _BLOCK) for i in range(0, max(len(x), 1), _BLOCK)]
    try:
        bound = [energy.density(y=None if y is None else y[b]) for b in blocks]
    except ValueError as error:
        raise UserError(f"y: {error}") from None
    return torch.cat([work(each, x[b]) for each, b in zip(bound, blocks, strict=True)])


def encode(run: "LoadedRun", raw: Any) -> Tensor:
    """Points ``[n, *event]`` of what is in own units.

    Raises:
        UserError: what the units say.
    """
    try:
        return run.parts["dataset"].units.encode(raw)
    except ValueError as error:
        raise UserError(f"x: {error}") from None


def give_back(like: Any) -> Callable[[Tensor], Any]:
    """What makes of a tensor what was handed over: a tensor on the same device, an array for all else."""
    if isinstance(like, Tensor):
        return lambda found: found.detach().to(like.device)
    return lambda found: found.detach().cpu().numpy()


def _as_points(run: "LoadedRun", x: Any) -> Tensor:
    event = run.parts["dataset"].domain.event_shape
    shape = f"[n, {', '.join(map(str, event))}]"
    found = x if isinstance(x, Tensor) else _array(x, shape)
    if not found.is_floating_point():
        kind = str(found.dtype).removeprefix("torch.")
        raise UserError(f"x: {kind} are no points, which are floats {shape}; raw=True takes the data's own units")
    if tuple(found.shape[1:]) != tuple(event) or found.dim() == 0:
        one = "; x[None] is one point" if tuple(found.shape) == tuple(event) else ""
        raise UserError(f"x: must be of shape {shape}, got {list(found.shape)}{one}")
    return found.detach().float()


def _array(x: Any, shape: str) -> Tensor:
    if hasattr(x, "columns"):
        raise UserError(f"x: must be points {shape}, got a data frame; raw=True takes the data's own units")
    try:
        return torch.from_numpy(np.ascontiguousarray(np.asarray(x)))
    except (TypeError, ValueError) as error:
        raise UserError(f"x: must be an array or a tensor of numbers {shape} ({error})") from None


def _tell_outside(run: "LoadedRun", x: Tensor) -> None:
    """Say once that points lie where no density is meant: they are in other units, as a rule."""
    domain = run.parts["dataset"].domain
    beyond = (x - domain.centre).abs() > domain.half_width * (1 + 2 * _ROUNDING)
    n = int(beyond.flatten(1).any(1).sum())
    if n and not run.has_told_outside:
        run.has_told_outside = True
        low, high = (float(end) for end in x.aminmax())
        frame, level = sys._getframe(), 1
        while frame.f_back is not None and frame.f_globals["__name__"].split(".")[0] in _BETWEEN:
            frame, level = frame.f_back, level + 1
        warnings.warn(
            f"{n:,} of {len(x):,} points are outside of [{domain.low:g}, {domain.high:g}], the domain of the density: "
            f"values from {low:g} to {high:g}; raw=True takes the data's own units (told once)",
            stacklevel=level,
        )


def _labels(run: "LoadedRun", y: Any, n: int) -> Tensor:
    names = run.parts["dataset"].class_names
    if not names:
        raise UserError("y: the data have no classes")
    if isinstance(y, Tensor) and not y.is_floating_point() and y.shape == (n,):
        numbers = y
    else:
        listed: Sequence[Any] = [y] * n if isinstance(y, str) or np.ndim(y) == 0 else np.asarray(y).tolist()
        try:
            numbers = torch.tensor(find_classes("y", listed, names))
        except ValueError as error:
            raise UserError(str(error)) from None
    if numbers.shape != (n,):
        raise UserError(f"y: must be a class, or one for each of {n} points, got {list(numbers.shape)}")
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(names):
        raise UserError(
            f"y: must be classes from 0 to {len(names) - 1}, got {int(numbers.min())} to {int(numbers.max())}"
        )
    return numbers.long()
