"""What every replay buffer is: preallocated columns on the device, drawn from without replacement.

A share of each draw is replaced by fresh points, so that chains keep starting from noise (Du & Mordatch 2019: 5 %).
What is drawn may be augmented first, a transition of its own between chains (Du et al. 2021).
"""

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ebm_exp import memory
from ebm_exp.augmentation import Augmentation, Identity
from ebm_exp.dataset.domain import Domain
from ebm_exp.metrics import AGE, FILLED, MOVED, REINITIALISED, STALENESS
from ebm_exp.part import Part
from ebm_exp.random import derive_seed
from ebm_exp.random import generator as derived_generator
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.start.base import Start
from ebm_exp.types import (
    Batch,
    Conditional,
    From,
    NonNegativeInt,
    Points,
    PositiveInt,
    Probability,
    Provided,
    per_point,
)


class BufferDraw(NamedTuple):
    """Starting points of one training step's chains."""

    x: Tensor  # [batch, *event]
    y: Tensor | None  # [batch], the labels that the chains run under; None for an energy without labels
    age: Tensor  # [batch], training steps that the chain ran
    slots: Tensor  # [batch], where they came from


class Buffer(nn.Module, Part, ABC):
    """Columns x ``[size, *event]``, age, written ``[size]`` and, for a class-conditional energy, labels y ``[size]``.

    Attributes:
        size: slots of this rank.

    Args:
        size: number of slots, of all ranks together.
        start: where chains begin, at first and when they are reinitialised.
        domain: the box of the points.
        device: where the columns live.
        seed: names the first filling.
        conditional: keep each chain's label; a reinitialised chain takes that of its start.
        reinit_probability: each drawn chain is reinitialised with this probability.
        augmentation: a change of held points on their way out, so that a chain never starts quite where one ended.
        storage: ``uint8`` keeps 256 levels of the domain, a quarter of the memory; values are rounded to the nearest.
        first_passage_steps: so long all chains run before the first update: on an energy that is trained already
            (``init_from=``) they then begin where it leads them.
        ranks: each has its part of the slots, and runs chains of its own.

    Raises:
        ValueError: when chains shall run before the first update and the buffer is empty then, or ranks cannot share
            the slots evenly.
    """

    x: Tensor
    y: Tensor | None
    age: Tensor  # training steps that the chain ran
    written: Tensor  # how often the buffer had been written to when this slot was

    def __init__(
        self,
        size: PositiveInt,
        start: Start,
        domain: Annotated[Domain, From("dataset.domain")],
        device: Provided[torch.device],
        seed: Provided[int],
        augmentation: Provided[Augmentation | None] = None,
        conditional: Conditional = False,
        reinit_probability: Probability = 0.05,
        storage: Literal["float32", "uint8"] = "float32",
        first_passage_steps: NonNegativeInt = 0,
        ranks: Provided[Ranks] = ALONE,
    ) -> None:
        super().__init__()
        self.ranks = ranks
        self.size = size = ranks.split("size", size)
        self.domain = domain
        self.seed = seed if ranks.alone else derive_seed("rank", seed, ranks.rank)
        self.conditional = conditional
        self.augmentation = augmentation or Identity()
        self.start = start
        self.reinit_probability = reinit_probability
        self.storage = storage
        memory.refuse("size", size * math.prod(domain.event_shape) * 4, device)  # drawn in float32
        x, y = start.to(device).draw(size, derived_generator(device, "buffer", self.seed))
        self.register_buffer("x", self._encode(x))
        self.register_buffer("y", y if conditional else None)
        self.register_buffer("age", torch.zeros(size, dtype=torch.int32, device=device))
        self.register_buffer("written", torch.zeros(size, dtype=torch.int32, device=device))
        self.n_stored = 0  # points ever stored: known on the host, for every draw stores as many as it drew
        self.n_writes = 0
        self._last: tuple[BufferDraw, Batch] | None = None  # the newest draw and its ends, for metrics
        self.first_passage_steps = first_passage_steps
        if first_passage_steps and not self.n_filled:
            raise ValueError("first_passage_steps: needs buffer=in_place, whose chains are there before the first step")

    @property
    @abstractmethod
    def n_filled(self) -> int:
        """Slots that hold a chain."""

    @abstractmethod
    def _put(self, draw: BufferDraw, ends: dict[str, Tensor]) -> None:
        """Write the new rows ``ends`` of each column, in the order of the draw."""

    def store(self, draw: BufferDraw, x: Batch) -> None:
        """Put the ends ``[batch, *event]`` of the drawn chains back, one step older."""
        self.n_writes += 1
        ends = {"x": self._encode(x), "age": draw.age + 1, "written": torch.full_like(draw.age, self.n_writes)}
        if draw.y is not None:
            ends["y"] = draw.y
        self._put(draw, ends)
        self.n_stored += len(x)
        self._last = draw, x

    def draw(self, n: int, generator: torch.Generator) -> BufferDraw:
        """n starting points, no slot twice, held ones augmented; all are fresh while fewer than n are held.

        Raises:
            ValueError: when the buffer has fewer slots than chains are asked for.
        """
        if n > self.size:
            raise ValueError(f"buffer.size: must be at least the number of chains per step, {n}, got {self.size}")
        fresh = self.start.draw(n, generator)
        reinitialised = torch.rand(n, generator=generator, device=self.x.device) < self.reinit_probability
        if self.n_filled < n:
            slots = torch.arange(n, device=self.x.device)
            return BufferDraw(fresh.x, fresh.y, torch.zeros_like(self.age[:n]), slots)
        index = torch.randperm(self.n_filled, generator=generator, device=self.x.device)[:n]
        held = self.augmentation(self._decode(self.x[index]), generator, "start")
        x = torch.where(per_point(reinitialised, held), fresh.x, held)
        y = None if self.y is None or fresh.y is None else torch.where(reinitialised, fresh.y, self.y[index])
        return BufferDraw(x, y, torch.where(reinitialised, 0, self.age[index]), index)

    def settle(self, rows: slice, x: Batch) -> None:
        """Move some chains to x ``[rows, *event]``, as if they had begun there."""
        self.x[rows] = self._encode(x)

    def bank(self, n: int, generator: torch.Generator) -> Batch:
        """n different held points ``[n, *event]``, augmented: what samples are compared with.

        Raises:
            ValueError: when fewer are held.
        """
        if n > self.n_filled:
            raise ValueError(f"the buffer holds {self.n_filled} points, {n} were asked for")
        index = torch.randperm(self.n_filled, generator=generator, device=self.x.device)[:n]
        return self.augmentation(self._decode(self.x[index]), generator, "bank")

    def recent(self, n: int) -> Points:
        """At most n held points with their labels, spread evenly over the slots: a look at the buffer."""
        held = max(self.n_filled, 1)
        return self.read(torch.arange(min(n, held), device=self.x.device) * held // min(n, held))

    def read(self, slots: Tensor) -> Points:
        """The points ``[n, *event]`` of some slots ``[n]``, with their labels."""
        return Points(self._decode(self.x[slots]), None if self.y is None else self.y[slots])

    def metrics(self) -> dict[str, Tensor]:
        """What the buffer holds, and what the newest step did to it."""
        held = slice(max(self.n_filled, 1))
        values = {
            AGE: self.age[held].float().mean(),
            STALENESS: self.n_writes - self.written[held].float().mean(),
            FILLED: torch.full((), self.n_filled / self.size, device=self.x.device),
        }
        if self._last is not None:
            draw, x = self._last
            level = (self.domain.high - self.domain.low) / 255
            values[REINITIALISED] = (draw.age == 0).float().mean()
            values[MOVED] = ((x - draw.x).abs() > level).float().mean()
        return values

    def _encode(self, x: Batch) -> Tensor:
        if self.storage == "float32":
            return x
        domain = self.domain
        return ((x - domain.low) * (255 / (domain.high - domain.low))).round_().clamp_(0, 255).to(torch.uint8)

    def _decode(self, x: Tensor) -> Batch:
        if self.storage == "float32":
            return x
        domain = self.domain
        return domain.low + x.float() * ((domain.high - domain.low) / 255)

    def get_extra_state(self) -> dict[str, Any]:
        return {"n_stored": self.n_stored, "n_writes": self.n_writes}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.n_stored, self.n_writes = (int(state[name]) for name in ("n_stored", "n_writes"))
        if not (self.n_stored >= 0 and 0 <= self.n_writes < 2**31):  # ``written`` holds 32 bits
            raise ValueError(f"the buffer says that it stored {self.n_stored} points in {self.n_writes} writes")
