"""Runs: the files of one, its checkpoints, and a trained run as an object for notebooks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebm_exp.run.loaded import LoadedRun, load_run

__all__ = ["LoadedRun", "load_run"]


def __getattr__(name: str) -> Any:  # late: whoever lists the files of runs needs no torch
    if name in __all__:
        from ebm_exp.run import loaded

        return getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
