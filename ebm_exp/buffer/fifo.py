"""The queue of Du & Mordatch 2019: ends of chains are appended, the oldest are forgotten."""

import torch

from ebm_exp.buffer.base import Buffer, BufferDraw
from ebm_exp.types import Batch


class Fifo(Buffer):
    """Empty at the start; a chain that is drawn stays where it was, and its end is appended."""

    @property
    def n_filled(self) -> int:
        return min(self.n_stored, self.size)

    def store(self, draw: BufferDraw, x: Batch) -> None:
        slots = torch.arange(self.n_stored, self.n_stored + len(x), device=self.x.device) % self.size
        self.x[slots] = x
        self.age[slots] = draw.age + 1
        self.n_stored += len(x)
