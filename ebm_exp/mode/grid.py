"""Fresh chains' ends."""

from typing import Any

from ebm_exp.dataset.absent import Absent
from ebm_exp.mode.base import Drawn, Mode, Request, save
from ebm_exp.plots import sample_grid
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.types import EnergyFn

N_DATA = 1000  # rows


class Grid(Mode):
    """``samples.npz``, of tables ``samples.csv`` too, and an image of all: rows of a table beside those of the data."""

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
        sample_grid(image, samples.x, dataset.units, data)
        metrics = {"energy": float(energy.mean())} | {
            name: float(v) for name, v in (last["info"].metrics() if last else {}).items()
        }
        return Drawn({"grid": image} | save(request.folder, samples, energy, dataset), metrics)
