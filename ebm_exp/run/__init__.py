"""Runs: the files of one, its checkpoints, and a trained run as an object for notebooks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebm_exp.run.load import load_run
    from ebm_exp.run.loaded import LoadedRun

__all__ = ["LoadedRun", "load_run"]


def __getattr__(name: str) -> Any:  # late: whoever lists the files of runs needs no torch
    if name == "LoadedRun":
        from ebm_exp.run.loaded import LoadedRun

        return LoadedRun
    if name == "load_run":
        from ebm_exp.run.load import load_run

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
