"""Checkpoints: files that are either whole or absent, found and pruned by the step in their name."""

import os
import re
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

KEYS = (
    "step",
    "elapsed",
    "best",
    "wandb_id",
    "energy",
    "ema",
    "optimizer",
    "buffer",
    "sampler",
)  # what a resumed run needs

_NAME = re.compile(r"step_(\d{8,})\.pt")


def step_path(directory: Path, step: int) -> Path:
    """The file of one step, e.g. ``step_00001000.pt``: names sort as steps do."""
    return directory / f"step_{step:08d}.pt"


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that ``path`` never holds half of one, whenever the process or the machine dies.

    Written beside the target, forced to the disk, then renamed over it. On an exception an older file stays as it was.

    Args:
        path: the target; its folder is made when it is missing.
        state: plain containers, numbers, texts and tensors: what ``torch.load(weights_only=True)`` takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself must reach the disk too
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load(path: Path, keys: Collection[str] = KEYS, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint with ``weights_only=True``: the file is data, no code of it runs.

    Args:
        path: the file.
        keys: what it must hold.
        device: where its tensors go.

    Raises:
        ValueError: naming the file, when it cannot be read or lacks a key.
    """
    state = _read(path, device)
    missing = [key for key in keys if key not in state]
    if missing:
        raise ValueError(f"{path}: the checkpoint lacks {', '.join(missing)}; it holds {', '.join(map(str, state))}")
    return state


def latest(directory: Path) -> Path | None:
    """The newest checkpoint that can be read; None when there is none.

    Temporary files are ignored; a damaged file is skipped with a warning that names it.
    """
    for path in reversed(_by_step(directory)):
        try:
            _read(path, "cpu")
        except ValueError as error:
            warnings.warn(f"{error}; trying the one before it", stacklevel=2)
        else:
            return path
    return None


def prune(directory: Path, keep: int, protect: Collection[int] = ()) -> None:
    """Delete checkpoints, except the ``keep`` highest steps, the steps in ``protect`` and the file written last.

    The last written is not always the highest step: a run that found its newest checkpoint damaged goes on from an
    older one. Temporary files that a killed run left are deleted too.

    Raises:
        ValueError: when ``keep`` is below 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    paths = _by_step(directory)
    if not paths:
        return
    kept = {*paths[-keep:], max(paths, key=lambda p: (p.stat().st_mtime_ns, _step(p)))}
    for path in paths:
        if path not in kept and _step(path) not in protect:
            path.unlink()
    for leftover in directory.glob(".step_*.pt.tmp"):
        leftover.unlink()


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _by_step(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted((p for p in directory.iterdir() if _NAME.fullmatch(p.name) and p.is_file()), key=_step)


def _read(path: Path, device: torch.device | str) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums that torch.save writes
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"checksum of {damaged}")
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged archive or pickle can raise nearly anything
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}: {reason})") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path}: is not a checkpoint, it holds a {type(state).__name__}")
    return state
