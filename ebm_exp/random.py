"""Every random number of the project comes from a generator derived from a key.

A key says what the numbers are for, e.g. ``("train", seed, 0, attempt, step)``. Nothing is stored and nothing
is shared: a resumed run derives the same generator and draws the same numbers.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.types import Points

Drawn = TypeVar("Drawn", Tensor, Points)

CHUNK = 64  # chains that share one generator when samples are drawn, so that a batch's size changes no chain


def derive_seed(*key: str | int) -> int:
    """A 63-bit seed that is a fixed function of the key, on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def generator(device: torch.device | str, *key: str | int) -> torch.Generator:
    """A fresh generator on ``device`` for one purpose, named by its key.

    For the meta device, which has no numbers, it is one of the CPU: torch accepts that there.
    """
    device = torch.device(device)
    return torch.Generator("cpu" if device.type == "meta" else device).manual_seed(derive_seed(*key))


@dataclass(frozen=True)
class Rows:
    """What is drawn for a whole batch, of which this process has its rows: each rank draws all of it, and takes those.

    Args:
        generator: the same on every rank.
        ranks: who shares the batch.
        parts: the batch is taken in so many parts, of each of which every rank has its rows.
    """

    generator: torch.Generator
    ranks: Ranks
    parts: int = 1

    def take(self, whole: Tensor) -> Tensor:
        """This rank's rows of ``[n_ranks · n, …]``."""
        return whole.unflatten(0, (self.parts, self.ranks.n, -1))[:, self.ranks.rank].flatten(0, 1)


Source = torch.Generator | Rows  # of what is drawn for a batch


def for_batch(generator: torch.Generator, ranks: Ranks, parts: int = 1) -> Source:
    """The source of what is drawn for a batch that ranks share; see ``Rows``."""
    return generator if ranks.alone else Rows(generator, ranks, parts)


def take_rows(whole: Tensor, source: Source) -> Tensor:
    """This rank's rows of a batch ``[n_ranks · n, …]``, where ranks share it."""
    return source.take(whole) if isinstance(source, Rows) else whole


def draw_rows(n: int, source: Source, draw: Callable[[int, torch.Generator], Drawn]) -> Drawn:
    """``draw(n, generator)``, n random rows ``[n, …]``: of a batch that ranks share, those of this rank."""
    if not isinstance(source, Rows):
        return draw(n, source)
    whole = draw(n * source.ranks.n, source.generator)
    if isinstance(whole, Points):
        return Points(source.take(whole.x), None if whole.y is None else source.take(whole.y))
    return source.take(whole)


def generator_of(source: Source) -> torch.Generator:
    """The generator of a source, for what is not drawn row by row: it is the same on all ranks."""
    return source.generator if isinstance(source, Rows) else source


def normal_like(x: Tensor, source: Source) -> Tensor:
    """Standard normal numbers of x's shape ``[n, …]``, dtype and device."""
    if not isinstance(source, Rows):
        return torch.empty_like(x, memory_format=torch.contiguous_format).normal_(generator=source)
    return draw_rows(len(x), source, lambda n, g: x.new_empty((n, *x.shape[1:])).normal_(generator=g))


def uniform(shape: tuple[int, ...], source: Source, device: torch.device) -> Tensor:
    """Uniform numbers of [0, 1) of a shape ``(n, …)``."""
    return draw_rows(shape[0], source, lambda n, g: torch.rand((n, *shape[1:]), generator=g, device=device))


@dataclass(frozen=True)
class Stream:
    """The random numbers of one run.

    Args:
        seed: of the run.
        attempt: counts anew after a divergence, so that a repeated step draws other numbers.
        ranks: the processes that train it: they draw samples together, each some chunks of them.
    """

    seed: int
    attempt: int = 0
    ranks: Ranks = ALONE

    def at_step(self, device: torch.device | str, step: int) -> torch.Generator:
        """All randomness of one training step but its batch, and but what a rank has for itself."""
        return generator(device, "train", self.seed, 0, self.attempt, step)

    def for_chains(self, device: torch.device | str, first: int, n: int) -> list[torch.Generator]:
        """Generators of the n chains from ``first`` (a multiple of 64) on, one for each chunk of 64."""
        chunks = range(first // CHUNK, first // CHUNK + -(-n // CHUNK))
        return [generator(device, "fresh chains", self.seed, i) for i in chunks]


@contextmanager
def seed_global(*key: str | int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Let modules that read torch's global generators (initial weights, dropout) draw from the key.

    The global generators, that of the CPU and that of the device, are as before afterwards.
    """
    device = torch.device(device)
    devices = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        seed = derive_seed(*key)
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.default_generators[devices[0]].manual_seed(seed)
        yield
