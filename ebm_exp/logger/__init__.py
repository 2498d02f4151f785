"""What a run tells: rows of JSON, Weights & Biases, trackio, a progress line, images."""

from ebm_exp.logger.base import About, Files, Histogram, Logger, Picture, Table
from ebm_exp.logger.console import Progress
from ebm_exp.logger.jsonl import Jsonl
from ebm_exp.logger.several import Several
from ebm_exp.logger.trackio_logger import Trackio
from ebm_exp.logger.wandb_logger import WandbRun

__all__ = [
    "About", "Files", "Histogram", "Jsonl", "Logger", "Picture", "Progress", "Several", "Table", "Trackio", "WandbRun",
]  # fmt: skip
