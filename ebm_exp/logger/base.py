"""What every logger is: a place that takes a run's numbers and pictures, and can never end or hold up a training."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
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


class LibraryLogger(Logger):
    """A logger by somebody's library, which takes a row for each step.

    Attributes:
        _run: what the library has opened; None before the start, at the end, and after a failure.
    """

    def __init__(self) -> None:
        self._run: Any = None
        self._row: dict[str, Value] = {}
        self._step = 0

    def log(self, values: Mapping[str, Value], step: int) -> None:
        """Add to the row of this step; that of another one is written first."""
        if self._run is None:
            return
        if step != self._step:
            self.commit()
        self._row, self._step = self._row | dict(values), step

    def commit(self) -> None:
        """Write the row, if there is one."""
        row, self._row = self._row, {}
        if row:
            self._write(row, self._step)

    @abstractmethod
    def _write(self, row: dict[str, Value], step: int) -> None:
        """Hand a row to the library."""


def convert(value: Any, library: Any) -> Any:
    """A value in the types of a library, which W&B has named and others have named alike."""
    if isinstance(value, Picture):
        source = str(value.source) if isinstance(value.source, Path) else value.source
        return library.Image(source, caption=value.caption or None)
    if isinstance(value, Histogram):
        return library.Histogram(np_histogram=(value.counts, value.edges))
    if isinstance(value, Table):
        return library.Table(list(value.columns), [[convert(cell, library) for cell in row] for row in value.rows])
    return value
