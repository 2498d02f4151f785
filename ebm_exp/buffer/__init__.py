"""Replay buffers: where persistent chains rest between training steps."""

from ebm_exp.buffer.base import Buffer, BufferDraw
from ebm_exp.buffer.fifo import Fifo
from ebm_exp.buffer.in_place import InPlace
from ebm_exp.buffer.reservoir import Reservoir

__all__ = ["Buffer", "BufferDraw", "Fifo", "InPlace", "Reservoir"]
