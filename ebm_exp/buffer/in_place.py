"""Persistent chains: each slot is one chain, written back where it was drawn (Tieleman 2008; JEM)."""

from ebm_exp.buffer.base import Buffer, BufferDraw
from ebm_exp.types import Batch


class InPlace(Buffer):
    """A full buffer from the start; every slot is a chain of its own."""

    @property
    def n_filled(self) -> int:
        return self.size

    def store(self, draw: BufferDraw, x: Batch) -> None:
        self.x[draw.slots] = x
        self.age[draw.slots] = draw.age + 1
        self.n_stored += len(x)
