"""What every logger is: a place that takes a run's numbers and pictures, and can never end or hold up a training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ebm_exp.part import Part

Mode = Literal["auto", "online", "offline", "disabled"]


@dataclass(frozen=True)
class About:
    """What a run says of itself.

    Args:
        name: says what differs between runs.
        run_dir: its files.
        group: runs that belong together.
        tags: beside those that a user gives.
        notes: of a user.
        config: what it was made of.
        job_type: ``train``, ``sample`` or ``evaluate``.
        in_sweep: whether it is one of several that a single command started.
    """

    name: str
    run_dir: Path
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    job_type: str = "train"
    in_sweep: bool = False


class Picture(NamedTuple):
    """An image: a PNG or GIF file, or pixels ``[height, width, 3]`` of type uint8."""

    source: Path | np.ndarray
    caption: str = ""


class Histogram(NamedTuple):
    """How many values lie in each bin: counts ``[n]``, edges ``[n + 1]``."""

    counts: np.ndarray
    edges: np.ndarray


class Table(NamedTuple):
    """Rows of numbers, texts and pictures under their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


Value = float | Picture | Histogram | Table


class Files(NamedTuple):
    """Files that a run leaves, kept with it under a name.

    Attributes:
        name: of the collection; a run's own id is added.
        kind: ``model`` or ``samples``.
        paths: the files.
        metadata: where they come from.
        aliases: ``best``, ``last``.
    """

    name: str
    kind: str
    paths: tuple[Path, ...]
    metadata: Mapping[str, Any]
    aliases: tuple[str, ...] = ()


class Logger(Part, ABC):
    """A place that takes what a run tells. Nothing of it raises, waits for long, or speaks twice of one failure.

    Attributes:
        id: names the run for its next session, which a checkpoint keeps; None before the start and when nothing is
            logged.
        keeps: whether files that are handed to it are kept; what they need may be dear to compute.
    """

    id: str | None = None
    keeps: bool = False

    @abstractmethod
    def start(self, about: About, run_id: str | None = None) -> None:
        """Open a run, or go on with the one of that id."""

    @abstractmethod
    def log(self, values: Mapping[str, Value], step: int) -> None:
        """Values of a step by name; those of one step make one row, which is complete when another step begins."""

    @abstractmethod
    def commit(self) -> None:
        """Write the row of this step now: nothing is to be added."""

    @abstractmethod
    def summary(self, values: Mapping[str, Any]) -> None:
        """Single values of the whole run: its best scores, its state, why it failed."""

    @abstractmethod
    def alert(self, title: str, text: str) -> None:
        """Tell a person who is not looking."""

    @abstractmethod
    def keep(self, files: Files) -> None:
        """Keep files with the run."""

    @abstractmethod
    def finish(self, exit_code: int) -> None:
        """Close the run; 0 is success."""

    @abstractmethod
    def hint(self) -> list[str]:
        """Where to look: addresses and commands."""


class Rows:
    """Gathers what is logged of one step into one row.

    Args:
        write: takes each row that is complete, with its step.
    """

    def __init__(self, write: Callable[[dict[str, Value], int], None]) -> None:
        self._write = write
        self._row: dict[str, Value] = {}
        self._step = 0

    def add(self, values: Mapping[str, Value], step: int) -> None:
        """Add to the row of this step; that of another one is written first."""
        if step != self._step:
            self.flush()
        self._row, self._step = self._row | dict(values), step

    def flush(self) -> None:
        """Write the row, if there is one."""
        row, self._row = self._row, {}
        if row:
            self._write(row, self._step)
