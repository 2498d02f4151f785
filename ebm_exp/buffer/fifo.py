"""The queue of Du & Mordatch 2019: ends of chains are appended, the oldest are forgotten."""

import torch
from torch import Tensor

from ebm_exp.buffer.base import Buffer, BufferDraw


class Fifo(Buffer):
    """Empty at the start; a chain that is drawn stays where it was, and its end is appended."""

    @property
    def n_filled(self) -> int:
        return min(self.n_stored, self.size)

    def _put(self, draw: BufferDraw, ends: dict[str, Tensor]) -> None:
        n = len(draw.slots)
        slots = torch.arange(self.n_stored, self.n_stored + n, device=self.x.device) % self.size
        for name, rows in ends.items():
            self.get_buffer(name)[slots] = rows
