"""How much memory there is, asked before it is taken."""

import math
import os
from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def free(device: torch.device) -> float:
    """Bytes that can be had on a device; infinite where nobody can tell, as on ``meta``."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return math.inf
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        there = float(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else -1
        there = float(pages * os.sysconf("SC_PAGE_SIZE")) if pages > 0 else math.inf
    try:  # of a container; what it has taken holds files that make room
        return min(there, float(_LIMIT.read_text()))
    except (OSError, ValueError):  # none, or "max"
        return there


def refuse(key: str, n_bytes: float, device: torch.device | str = "cpu") -> None:
    """Refuse a value of the config that would take more memory than there is.

    Args:
        key: of the value, for the message.
        n_bytes: that it takes.
        device: where.

    Raises:
        ValueError: with both numbers.
    """
    device = torch.device(device)
    there = free(device)
    if n_bytes > there:
        raise ValueError(
            f"{key}: would take {format_bytes(n_bytes)} of memory, {format_bytes(there)} are free on the {device.type}"
        )


def format_bytes(n_bytes: float) -> str:
    """A number of bytes for a person: ``3.2 GB``."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes / 1e3:,.1f} kB"
