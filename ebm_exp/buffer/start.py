"""The ends of training chains that a replay buffer holds."""

from collections.abc import Sequence

import torch

from ebm_exp.buffer.base import Buffer
from ebm_exp.start.base import Start
from ebm_exp.types import Points, Provided


class FromBuffer(Start):
    """Points of the buffer, none twice before all were drawn once.

    Args:
        buffer: the run's buffer.
    """

    name = "the buffer"

    def __init__(self, buffer: Provided[Buffer]) -> None:
        super().__init__()
        self.buffer = buffer

    def draw(self, n: int, generator: torch.Generator) -> Points:
        device, held = self.buffer.x.device, max(self.buffer.n_filled, 1)
        order = torch.randperm(held, generator=generator, device=device)
        return self.buffer.read(order[torch.arange(n, device=device) % held])

    def draw_chunks(self, n: int, generators: Sequence[torch.Generator]) -> Points:
        return self.draw(n, generators[0])
