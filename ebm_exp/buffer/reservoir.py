"""A reservoir: a uniform sample of all ends of chains that training has ever made (Vitter 1985, algorithm R).

The t-th end (from 0) takes slot j, uniform on {0, …, t}, if j < size, and is forgotten otherwise; so after t ends
each of them is held with probability size/t, old ones as likely as new ones. A memory of the whole training.
"""

import torch
from torch import Tensor

from ebm_exp.buffer.base import Buffer, BufferDraw
from ebm_exp.random import generator
from ebm_exp.types import per_point


class Reservoir(Buffer):
    """Empty at the start; a chain that is drawn stays where it was, and its end may replace any other."""

    @property
    def n_filled(self) -> int:
        return min(self.n_stored, self.size)

    def _put(self, draw: BufferDraw, ends: dict[str, Tensor]) -> None:
        device, n = self.x.device, len(draw.slots)
        t = torch.arange(self.n_stored, self.n_stored + n, device=device)
        seeded = generator(device, "reservoir", self.seed, self.n_stored)
        u = torch.rand(n, generator=seeded, device=device, dtype=torch.float64)
        j = torch.where(t < self.size, t, (u * (t + 1)).long())
        kept = j < self.size
        slots = torch.where(kept, j, 0)
        # One slot may be hit twice, and the order of such writes is undefined: every end writes what its slot shall
        # hold at last, a forgotten one what slot 0 shall hold.
        row = torch.arange(n, device=device)
        last = torch.full((self.size,), -1, device=device)
        last = last.scatter_reduce(0, slots, torch.where(kept, row, -1), "amax")[slots]
        for name, rows in ends.items():
            column = self.get_buffer(name)
            hit = per_point(last >= 0, rows)
            column[slots] = torch.where(hit, rows[last.clamp(min=0)], column[slots])
