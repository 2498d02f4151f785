"""The processes of one training, one for each device: how many there are, which is this one, what they share.

``torchrun`` starts them. Each computes its rows of a batch; what they find is averaged once in a step, and whatever
decides is decided alike by all. A process that is alone joins nobody.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

WAIT = timedelta(minutes=10)  # for a rank that says nothing; one that has died is missed at once
_GIVEN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by torchrun, in the environment


class RankLostError(RuntimeError):
    """Another process of the training has ended, or does not answer.

    Args:
        text: what there is to say.
        told: it was said.
    """

    def __init__(self, text: str, told: bool = False) -> None:
        super().__init__(text)
        self.told = told


class Ranks:
    """Some processes and one of them. Without arguments a process that is alone.

    Args:
        rank: which one this is, from 0.
        n: how many there are.
    """

    def __init__(self, rank: int = 0, n: int = 1) -> None:
        self.rank, self.n = rank, n
        self.at_work = False  # together: one that leaves now is missed by the others, and has no word for them

    @property
    def first(self) -> bool:
        """Whether this is the one that owns the run's directory, its logger and the screen."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.n == 1

    def split(self, key: str, total: int) -> int:
        """This rank's part of a total.

        Raises:
            ValueError: when it does not divide.
        """
        if total % self.n:
            raise ValueError(f"{key} must be a multiple of {self.n}, the processes that share it, got {total}")
        return total // self.n

    def add(self, x: "Tensor") -> None:
        """Put the sum of all ranks' x in its place; on CUDA without waiting for the device."""
        if not self.alone:
            from torch import distributed

            with _missing():
                distributed.all_reduce(x)

    def gather(self, x: "Tensor") -> "Tensor":
        """The rows ``[n, …]`` of all ranks, as many of each, one rank behind the other; without a graph."""
        if self.alone:
            return x
        import torch
        from torch import distributed

        x = x.detach().contiguous()
        whole = torch.empty(self.n * len(x), *x.shape[1:], dtype=x.dtype, device=x.device)
        with _missing():
            distributed.all_gather(list(whole.chunk(self.n)), x)
        return whole

    def share(self, value: T) -> T:
        """The first rank's value, on each of them; through the host."""
        if self.alone:
            return value
        from torch import distributed

        held = [value]
        with _missing():
            distributed.broadcast_object_list(held, 0)
        return held[0]

    def collect(self, value: T) -> list[T]:
        """The values of all ranks, on each of them; through the host. They wait for each other."""
        if self.alone:
            return [value]
        from torch import distributed

        found: list[Any] = [None] * self.n
        with _missing():
            distributed.all_gather_object(found, value)
        return found


ALONE = Ranks()


def given() -> Ranks:
    """Who this process is by its environment, whether it has joined the others or not."""
    if not all(os.environ.get(name) for name in _GIVEN):
        return ALONE
    return Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the others; each takes the GPU of its number on this machine, where there are GPUs.

    Raises:
        RankLostError: when one does not come.
    """
    import torch
    from torch import distributed

    ranks, local = given(), int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())
    with _missing():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=WAIT)
    yield ranks
    distributed.destroy_process_group()  # where all is well: else the others would wait


@contextmanager
def _missing() -> Iterator[None]:
    """What torch raises where a rank does not answer, in one word."""
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"^\[.*?\] ", "", str(error).splitlines()[0])  # without a file and a line of its own
        raise RankLostError(f"another process of this training has ended or does not answer ({reason:.80})") from error
