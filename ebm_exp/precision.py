"""Autocast by device, in one place: the meta device has none of its own and takes the CPU's."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def autocast(device: torch.device, enabled: bool) -> AbstractContextManager[object]:
    """bf16 autocast on the device where enabled; else float32, also inside of an autocast."""
    kind = "cpu" if device.type == "meta" else device.type
    if not enabled and not torch.is_autocast_enabled(kind):
        return nullcontext()
    return torch.autocast(kind, torch.bfloat16, enabled=enabled)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """What bf16 would blur, whatever the engine's precision."""
    return autocast(device, enabled=False)


def wide(x: Tensor) -> Tensor:
    """In float32 at least: energies, and sums over pixels, are not left to bf16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
