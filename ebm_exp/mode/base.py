"""What every mode is: a function of a trained run and of what was asked for, which leaves files."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.files import replacing
from ebm_exp.logger import Files, Logger, Picture
from ebm_exp.logger.base import Value
from ebm_exp.metrics import SAMPLES
from ebm_exp.part import Part
from ebm_exp.run.about import beside
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.sampler.base import Info, State
from ebm_exp.sampling import Chains, Flow, Fresh, Levels
from ebm_exp.types import EnergyFn, Name, PerSample, Points


@dataclass(frozen=True)
class Request:
    """What a user asked for.

    Args:
        n: number of chains.
        seed: names the chains.
        folder: where files go.
        label: the class to draw, by name or number, or several in turn.
        others: further runs.
        progress: called with the number of each finished step.
    """

    n: int
    seed: int
    folder: Path
    label: Name | tuple[Name, ...] = None
    others: tuple[LoadedRun, ...] = ()
    progress: Callable[[int], None] = lambda step: None

    def watch(self, step: int, energy: EnergyFn, state: State, info: Info) -> None:
        """A watcher of chains (see ``Sampling.draw``) that shows progress and keeps nothing."""
        self.progress(step)


@dataclass(frozen=True)
class Drawn:
    """What a mode made.

    Args:
        files: by a short name, in the order of their importance.
        metrics: numbers by name.
    """

    files: dict[str, Path]
    metrics: dict[str, float] = field(default_factory=dict)


def log_drawn(run: LoadedRun, folder: Path, drawn: "Drawn") -> list[str]:
    """Log what was drawn as a run of type ``sample`` in the run's group; returns where to look.

    Args:
        run: what was drawn from.
        folder: where the files are.
        drawn: its numbers and images are logged as ``samples/<name>``.
    """
    logger: Logger = run.parts["logger"]
    told = beside(run.directory, run.config, run.step, folder, "sample")
    logger.start(told)
    values: dict[str, Value] = {SAMPLES(key): value for key, value in drawn.metrics.items()}
    values |= {SAMPLES(k): Picture(path) for k, path in drawn.files.items() if path.suffix in (".png", ".gif")}
    logger.log(values, run.step)
    if logger.keeps:
        came = told.config["parent"] | {"drawn": told.config["overrides"]}
        logger.keep(Files("samples", "samples", tuple(drawn.files.values()), came))
    logger.finish(0)
    return logger.hint()


class Mode(Part, ABC):
    """One way to draw from a trained run, or to ask it about points.

    Attributes:
        draws: by the run's sampling.
    """

    draws: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""


def chains_of(run: LoadedRun) -> Chains:
    """The run's sampling, for modes that are about chains of one density.

    Raises:
        UserError: when it draws otherwise.
    """
    return _sampling_of(run, (Chains,))


def densities_of(run: LoadedRun) -> Chains | Levels:
    """The run's sampling, for modes that sample a density made of the run's.

    Raises:
        UserError: when it draws otherwise.
    """
    return _sampling_of(run, (Chains, Levels))


def moving_of(run: LoadedRun) -> Fresh:
    """The run's sampling, for modes that watch points on their way.

    Raises:
        UserError: when it draws otherwise.
    """
    return _sampling_of(run, (Chains, Levels, Flow))


def _sampling_of(run: LoadedRun, kinds: tuple[type, ...]) -> Any:
    sampling = run.parts["sampling"]
    if not isinstance(sampling, kinds):
        names = " or ".join(f"sampling={kind.__name__.lower()}" for kind in reversed(kinds))
        raise UserError(f"sampling: this mode needs {names}, the run has {type(sampling).__name__}")
    return sampling


def save(folder: Path, samples: Points, energy: PerSample, dataset: Dataset, **more: np.ndarray) -> dict[str, Path]:
    """``samples.npz``: x ``[n, *event]``, energy ``[n]``, labels y ``[n]`` if any, and more arrays; no pickles.

    Rows of a table are in ``samples.csv`` too, in own units under the data's names, labels by the names of their
    classes. Returns both by a short name.
    """
    arrays = {"x": samples.x.cpu().numpy().astype(np.float32), "energy": energy.cpu().numpy().astype(np.float32)}
    if samples.y is not None:
        arrays["y"] = samples.y.cpu().numpy()
    path, rows = folder / "samples.npz", folder / "samples.csv"
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **(arrays | more))
    if not isinstance(dataset.units, TableUnits):
        return {"samples": path}
    with replacing(rows) as file:
        dataset.units.decode_labelled(samples, dataset.class_names).write_csv(file)
    return {"samples": path, "rows": rows}


def thin(n_steps: int, n: int) -> Sequence[int]:
    """About n steps of 1 … n_steps, evenly spread, first and last among them."""
    every = max(1, n_steps // n)
    return sorted({1, n_steps, *range(every, n_steps + 1, every)})
