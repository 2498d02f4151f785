"""Autocast by device, in one place: the meta device has none of its own and takes the CPU's."""

import torch
from torch import Tensor


def autocast(device: torch.device, enabled: bool) -> torch.autocast:
    """bf16 autocast on the device where enabled; else float32, also inside of an autocast."""
    return torch.autocast("cpu" if device.type == "meta" else device.type, torch.bfloat16, enabled=enabled)


def full_precision(device: torch.device) -> torch.autocast:
    """What bf16 would blur, whatever the engine's precision."""
    return autocast(device, enabled=False)


def wide(x: Tensor) -> Tensor:
    """In float32 at least: energies, and sums over pixels, are not left to bf16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
