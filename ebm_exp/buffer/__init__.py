"""Replay buffers: where chains of training wait between steps."""

from ebm_exp.buffer.base import Buffer, BufferDraw
from ebm_exp.buffer.fifo import Fifo
from ebm_exp.buffer.in_place import InPlace
from ebm_exp.buffer.reservoir import Reservoir
from ebm_exp.buffer.start import FromBuffer

__all__ = ["Buffer", "BufferDraw", "Fifo", "FromBuffer", "InPlace", "Reservoir"]
