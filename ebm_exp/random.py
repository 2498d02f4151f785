"""Every random number of the project comes from a generator derived from a key.

A key says what the numbers are for, e.g. ``("train", seed, rank, attempt, step)``. Nothing is stored and nothing
is shared: a resumed run derives the same generator and draws the same numbers.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*key: str | int) -> int:
    """A 63-bit seed that is a fixed function of the key, on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


def generator(device: torch.device | str, *key: str | int) -> torch.Generator:
    """A fresh generator on ``device`` for one purpose, named by its key."""
    return torch.Generator(device).manual_seed(derive_seed(*key))


@contextmanager
def seeded_initialisation(*key: str | int) -> Iterator[None]:
    """Let torch's layers draw their initial weights from the key, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(*key))
        yield
