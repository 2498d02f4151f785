"""The device that a process computes on, how it computes there, and what its record says of both."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch

from ebm_exp import __version__
from ebm_exp.config.errors import UserError
from ebm_exp.ranks import given


def choose_device(name: str) -> torch.device:
    """The device of a run: ``auto`` takes CUDA when there is one.

    Raises:
        UserError: when CUDA is asked for and not there, or there are fewer GPUs than processes here.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is not available here; use device=auto or device=cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    n, n_gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if n > n_gpus and not given().alone:
        raise UserError(f"device: {n} processes here need as many GPUs, there are {n_gpus}; --nproc-per-node {n_gpus}")
    return torch.device("cuda")


def keep_precision(config: Mapping[str, Any], began: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run with the precision that ``auto`` came to when it began, where that was on such a device.

    Args:
        config: resolved.
        began: what its summary says: ``precision``, ``device``.
    """
    engine, said = config.get("engine") or {}, began.get("precision")
    if engine.get("precision") != "auto" or said not in ("float32", "bf16"):
        return dict(config)
    if began.get("device") != describe_machine(choose_device(config["device"]), ())["device"]:
        return dict(config)
    return {**config, "engine": {**engine, "precision": said}}


def one_thread(device: str) -> None:
    """Let a job of a sweep compute on one thread of the CPU, unless OMP_NUM_THREADS says otherwise.

    Jobs then run side by side without getting into each other's way, and give the same numbers under every launcher
    (sums of several threads are rounded otherwise).
    """
    if "OMP_NUM_THREADS" not in os.environ and choose_device(device).type == "cpu":
        torch.set_num_threads(1)


def set_deterministic(asked: bool) -> None:
    """Let CUDA compute the same numbers each time, or as fast as it can; before it is used for the first time.

    An operation of which torch has no such form then raises when it comes up.
    """
    if asked:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch refuses matrix products without it
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # slow, for debugging
    torch.use_deterministic_algorithms(asked)


def describe_machine(device: torch.device, libraries: tuple[str, ...]) -> dict[str, Any]:
    """For a record: ``device`` by its name, and ``versions`` of Python, of this project and of some libraries."""
    return {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu ({platform.machine()})",
        "versions": {"python": platform.python_version(), "ebm-exp": __version__}
        | {name: version(name) for name in libraries},
    }
