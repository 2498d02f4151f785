"""What a notebook hands to a run as points, checked, and what it gets back: arrays for arrays, tensors for tensors."""

import sys
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.domain import Domain
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
        run.watch.tell(points, own_units=raw)
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


class DirectCalls:
    """A hook of an energy that looks at points which somebody hands it himself: ``run.energy(x)``.

    What this package calls it with is known to be right, and in a chain nothing may wait for the device.

    Args:
        domain: of the density.

    Attributes:
        has_told: that points lie outside of it, which is said once.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.has_told = False

    def __call__(self, module: Any, arguments: tuple[Any, ...]) -> None:
        """Refuse integers, and tell of points outside."""
        x = arguments[0] if arguments else None
        if not isinstance(x, Tensor) or x.is_meta:
            return
        if not x.is_floating_point():
            kind = str(x.dtype).removeprefix("torch.")
            raise UserError(f"x: {kind} are no points, which are floats; run.energies(x, raw=True) takes own units")
        if not (self.has_told or x.requires_grad) and _calls_itself(sys._getframe()):
            self.tell(x)

    def tell(self, x: Tensor, own_units: bool = False) -> None:
        """Say that points lie where no density is meant: they are in other units, as a rule, or far from all data."""
        low, high = self.domain.low, self.domain.high
        beyond = (x - self.domain.centre).abs() > self.domain.half_width * (1 + 2 * _ROUNDING)
        n = int(beyond.flatten(1).any(1).sum()) if x.dim() > 1 else 0
        if not n or self.has_told:
            return
        self.has_told = True
        frame, level = sys._getframe(), 1
        while frame.f_back is not None and _is_ours(frame):
            frame, level = frame.f_back, level + 1
        ends = [float(end) for end in x.aminmax()]
        cure = "" if own_units else "; run.encode(…), or raw=True, takes the data's own units"
        warnings.warn(
            f"{n:,} of {len(x):,} points are outside of [{low:g}, {high:g}], the domain of the density: values from "
            f"{ends[0]:g} to {ends[1]:g}{cure} (told once)",
            stacklevel=level,
        )


def _is_ours(frame: FrameType) -> bool:
    return _package(frame) in _BETWEEN


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]


def _calls_itself(hook: FrameType) -> bool:
    """Whether an energy was called by code that is not ours; what is between is torch's, and the call itself."""
    above = hook.f_back
    while above is not None and (_package(above) != "ebm_exp" or above.f_code.co_name == "__call__"):
        if not _is_ours(above):
            return True
        above = above.f_back
    return False


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
