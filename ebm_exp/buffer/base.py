"""What every replay buffer is: preallocated columns on the device, drawn from without replacement.

A share of each draw is replaced by fresh points, so that chains keep starting from noise (Du & Mordatch 2019: 5 %).
"""

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ebm_exp.dataset.base import Dataset
from ebm_exp.random import generator as derived_generator
from ebm_exp.types import Batch, PositiveInt, Probability


class BufferDraw(NamedTuple):
    """Starting points of one training step's chains."""

    x: Tensor  # [batch, *event]
    age: Tensor  # [batch], training steps since the chain started
    slots: Tensor  # [batch], where they came from


class Buffer(nn.Module, ABC):
    """Columns x ``[size, *event]`` and age ``[size]``.

    Args:
        size: number of slots.
        dataset: gives the domain and ``reinit_from: data``.
        device: where the columns live.
        seed: names the first filling.
        reinit_probability: each drawn chain starts afresh with this probability.
        reinit_from: ``uniform`` on the domain, ``normal`` around its centre, or ``data`` (noisy training points).
    """

    x: Tensor
    age: Tensor

    def __init__(
        self,
        size: PositiveInt,
        dataset: Dataset,
        device: torch.device,
        seed: int,
        reinit_probability: Probability = 0.05,
        reinit_from: Literal["uniform", "normal", "data"] = "uniform",
    ) -> None:
        super().__init__()
        self.size, self.dataset = size, dataset
        self.reinit_probability, self.reinit_from = reinit_probability, reinit_from
        self.register_buffer("x", self.fresh(size, derived_generator(device, "buffer", seed)))
        self.register_buffer("age", torch.zeros(size, dtype=torch.int32, device=device))
        self.n_stored = 0  # points ever stored: known on the host, for every draw stores as many as it drew

    @property
    @abstractmethod
    def n_filled(self) -> int:
        """Slots that hold a chain."""

    @abstractmethod
    def store(self, draw: BufferDraw, x: Batch) -> None:
        """Put the ends ``[batch, *event]`` of the drawn chains back, one step older."""

    def fresh(self, n: int, generator: torch.Generator) -> Batch:
        """n new starting points ``[n, *event]``."""
        if self.reinit_from == "data":
            return self.dataset.noisy(n, generator)
        domain = self.dataset.domain
        return domain.uniform(n, generator) if self.reinit_from == "uniform" else domain.normal(n, generator)

    def draw(self, n: int, generator: torch.Generator) -> BufferDraw:
        """n starting points, no slot twice; all are fresh while fewer than n are held.

        Raises:
            ValueError: when the buffer has fewer slots than chains are asked for.
        """
        if n > self.size:
            raise ValueError(f"buffer.size: must be at least the number of chains per step, {n}, got {self.size}")
        fresh = self.fresh(n, generator)
        restarted = torch.rand(n, generator=generator, device=self.x.device) < self.reinit_probability
        if self.n_filled < n:
            return BufferDraw(fresh, torch.zeros_like(self.age[:n]), torch.arange(n, device=self.x.device))
        index = torch.randperm(self.n_filled, generator=generator, device=self.x.device)[:n]
        x = torch.where(restarted.view(-1, *[1] * (self.x.dim() - 1)), fresh, self.x[index])
        return BufferDraw(x, torch.where(restarted, 0, self.age[index]), index)

    def recent(self, n: int) -> Batch:
        """At most n held points, spread evenly over the slots: a picture of the buffer."""
        held = max(self.n_filled, 1)
        slots = torch.arange(min(n, held), device=self.x.device) * held // min(n, held)
        return self.x[slots]

    def metrics(self) -> dict[str, Tensor]:
        """``buffer/age``: mean training steps since the held chains started; ``buffer/filled``: share of slots held."""
        return {
            "buffer/age": self.age[: max(self.n_filled, 1)].float().mean(),
            "buffer/filled": torch.full((), self.n_filled / self.size, device=self.x.device),
        }

    def get_extra_state(self) -> dict[str, Any]:
        return {"n_stored": self.n_stored}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.n_stored = state["n_stored"]
