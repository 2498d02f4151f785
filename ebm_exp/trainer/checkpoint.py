"""Checkpoint files: written as a whole or not at all, read without running code."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)
_NAME = re.compile(r"step_(\d{8,})\.pt")


def step_path(folder: Path, step: int) -> Path:
    """The file of a step: ``step_00001000.pt``."""
    return folder / f"step_{step:08d}.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that ``path`` holds either all of it or what it held before, whenever the machine stops."""
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU; tensors and plain containers only, code in the file does not run.

    Raises:
        ValueError: naming the file, when it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a checkpoint ({str(error).splitlines()[0]})") from error


def steps(folder: Path) -> list[int]:
    """The steps that have a file, oldest first."""
    found = (_NAME.fullmatch(file.name) for file in folder.glob("step_*.pt"))
    return sorted(int(match.group(1)) for match in found if match)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint that can be read; None when there is none."""
    for step in reversed(steps(folder)):
        path = step_path(folder, step)
        try:
            load(path)
        except ValueError as error:
            log.warning("%s; taking the one before it", error)
            continue
        return path
    return None


def prune(folder: Path, keep: int, protect: set[int]) -> None:
    """Delete all but the newest ``keep`` files and the protected steps."""
    for step in steps(folder)[:-keep]:
        if step not in protect:
            step_path(folder, step).unlink()
