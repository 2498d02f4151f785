"""Where the numbers and images of a run go: Weights & Biases, trackio, several of them, a progress line."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebm_exp.logger.base import About, Files, Histogram, Logger, Picture, Table
    from ebm_exp.logger.console import Progress
    from ebm_exp.logger.several import Several
    from ebm_exp.logger.trackio_logger import Trackio
    from ebm_exp.logger.wandb_logger import WandbRun

__all__ = [
    "About", "Files", "Histogram", "Logger", "Picture", "Progress", "Several", "Table", "Trackio", "WandbRun",
]  # fmt: skip

_MODULES = {"Progress": "console", "Several": "several", "Trackio": "trackio_logger", "WandbRun": "wandb_logger"}


def __getattr__(name: str) -> Any:  # late: a report over a hundred runs needs none of them, and opens in a second
    if name in __all__:
        return getattr(importlib.import_module(f"ebm_exp.logger.{_MODULES.get(name, 'base')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
