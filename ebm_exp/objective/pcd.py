"""Persistent contrastive divergence: chains go on where they ended (Tieleman 2008; Du & Mordatch 2019)."""

from dataclasses import replace
from typing import Unpack

import torch
from torch import Tensor

from ebm_exp.buffer.base import Buffer, BufferDraw
from ebm_exp.energy import Energy
from ebm_exp.engine.base import Run
from ebm_exp.objective.base import Training
from ebm_exp.objective.contrastive_divergence import BLOCK, ChainOptions, ContrastiveDivergence, Given, Kept
from ebm_exp.regularization.base import Step
from ebm_exp.start.base import Start
from ebm_exp.types import Batch, Points, Provided


class PCD(ContrastiveDivergence):
    """Chains go on from a replay buffer, under the labels they began with.

    Args:
        buffer: the replay buffer.
        options: see ``ChainOptions``.

    Raises:
        ValueError: when a term waits for more points than the buffer can hold.
    """

    gives = ContrastiveDivergence.gives | {"buffer"}

    def __init__(self, buffer: Provided[Buffer], **options: Unpack[ChainOptions]) -> None:
        super().__init__(**options)
        self.buffer = buffer
        for name, term in self.terms.items():
            least = term.min_filled
            if least >= (size := buffer.size * buffer.ranks.n):
                raise ValueError(f"{name}: waits for more than {least} held points, but buffer.size is {size}")
            if term.bank_size > buffer.size:
                raise ValueError(f"{name}: bank_size must be at most {buffer.size}, a rank's part of buffer.size")

    def gather(self, energy: Energy, batch: Points, step: int, generator: torch.Generator) -> tuple[Given, Kept]:
        if self.buffer.first_passage_steps and not self.buffer.n_stored:
            self._take_first_passage(energy, generator)
        return super().gather(energy, batch, step, generator)

    def _take_first_passage(self, energy: Energy, generator: torch.Generator) -> None:
        buffer, target = self.buffer, self.engine.target(energy)
        how = Run(self.temperature, buffer.first_passage_steps)
        for first in range(0, buffer.size, BLOCK):
            rows = slice(first, first + BLOCK)
            begin = buffer.read(torch.arange(buffer.size, device=buffer.x.device)[rows])
            chain = self.engine.run(self.sampler, target, begin.x, generator, how, y=begin.y)
            buffer.settle(rows, chain.x)

    def step(self, now: Step) -> Step:
        return replace(now, buffer=self.buffer)

    def start(self, batch: Points, generator: torch.Generator) -> BufferDraw:
        return self.buffer.draw(len(batch.x), generator)

    def store(self, start: Points | BufferDraw, x: Batch) -> dict[str, Tensor]:
        assert isinstance(start, BufferDraw)
        self.buffer.store(start, x)
        return self.buffer.metrics()

    def begins_at(self) -> Start:
        return self.buffer.start

    def panels(self, n: int) -> dict[str, Points]:
        return {"buffer": self.buffer.recent(n)}

    def check(self, experiment: Training) -> None:
        super().check(experiment)
        size, batch = self.buffer.size * self.buffer.ranks.n, experiment.batch_size
        if size < batch:
            raise ValueError(f"trainer: batch_size must be at most buffer.size, {size}, got {batch}")
