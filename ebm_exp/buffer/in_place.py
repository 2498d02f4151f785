"""Persistent chains: each slot is one chain, written back where it was drawn (Tieleman 2008; JEM)."""

from torch import Tensor

from ebm_exp.buffer.base import Buffer, BufferDraw


class InPlace(Buffer):
    """A full buffer from the start; every slot is a chain of its own."""

    @property
    def n_filled(self) -> int:
        return self.size

    def _put(self, draw: BufferDraw, ends: dict[str, Tensor]) -> None:
        for name, rows in ends.items():
            self.get_buffer(name)[draw.slots] = rows
