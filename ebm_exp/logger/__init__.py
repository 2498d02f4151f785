"""What a run tells: rows of JSON, Weights & Biases, a progress line, images."""

from ebm_exp.logger.console import Progress
from ebm_exp.logger.jsonl import Jsonl
from ebm_exp.logger.wandb_logger import WandbRun

__all__ = ["Jsonl", "Progress", "WandbRun"]
