"""Every random number of the project comes from a generator derived from a key.

A key says what the numbers are for, e.g. ``("train", seed, rank, attempt, step)``. Nothing is stored and nothing
is shared: a resumed run derives the same generator and draws the same numbers.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

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


def normal_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of x's shape, dtype and device."""
    return torch.empty_like(x, memory_format=torch.contiguous_format).normal_(generator=generator)


@dataclass(frozen=True)
class Stream:
    """The random numbers of one run.

    Args:
        seed: of the run.
        rank: of the process in data-parallel training.
        attempt: counts anew after a divergence, so that a repeated step draws other numbers.
    """

    seed: int
    rank: int = 0
    attempt: int = 0

    def at_step(self, device: torch.device | str, step: int) -> torch.Generator:
        """All randomness of one training step but its batch."""
        return generator(device, "train", self.seed, self.rank, self.attempt, step)

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
