"""Fresh chains' ends."""

from collections.abc import Sequence
from typing import Any

from ebm_exp.dataset.absent import Absent
from ebm_exp.mode.base import Drawn, Mode, Request, save
from ebm_exp.plots import sample_grid, sample_panels
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.types import Batch, EnergyFn, Points

N_DATA = 1000  # rows
MOST_CLASSES = 4  # that are shown apart


class Grid(Mode):
    """``samples.npz``, of tables ``samples.csv`` too, and an image of all: rows of a table beside those of the data,
    images of a few classes that were asked for under their names.
    """

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        last: dict[str, Any] = {}

        def watch(step: int, energy: EnergyFn, state: Any, info: Any) -> None:
            last["info"] = info
            request.progress(step)

        samples = run.draw(request.n, request.seed, watch=watch, label=request.label)
        energy = run.energies(samples)
        image = request.folder / "samples.png"
        dataset = run.parts["dataset"]
        data = None if isinstance(dataset, Absent) else dataset.train(N_DATA)
        by_class = {} if request.label is None else _by_class(samples, dataset.class_names)
        if 0 < len(by_class) <= MOST_CLASSES and len(dataset.event_shape) == 3:
            sample_panels(image, by_class, dataset.units)
        else:
            sample_grid(image, samples.x, dataset.units, data)
        metrics = {"energy": float(energy.mean())} | {
            name: float(v) for name, v in (last["info"].metrics() if last else {}).items()
        }
        return Drawn({"grid": image} | save(request.folder, samples, energy, dataset), metrics)


def _by_class(samples: Points, names: Sequence[str]) -> dict[str, Batch]:
    """The samples of each class that there are, by its name; empty without labels."""
    y = samples.y
    return {} if y is None else {names[k]: samples.x[y == k] for k in y.unique().tolist()}
