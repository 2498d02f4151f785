"""Fresh chains' ends."""

from typing import Any

from ebm_exp.mode.base import Drawn, Mode, Request, save
from ebm_exp.plots import sample_grid
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.types import EnergyFn


class Grid(Mode):
    """``samples.npz`` and an image of all."""

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        last: dict[str, Any] = {}

        def watch(step: int, energy: EnergyFn, state: Any, info: Any) -> None:
            last["info"] = info
            request.progress(step)

        samples = run.draw(request.n, request.seed, watch=watch, label=request.label)
        energy = run.energies(samples)
        image = request.folder / "samples.png"
        sample_grid(image, samples.x, run.parts["dataset"].domain)
        metrics = {"energy": float(energy.mean())} | {
            name: float(v) for name, v in (last["info"].metrics() if last else {}).items()
        }
        return Drawn({"grid": image, "samples": save(request.folder, samples, energy)}, metrics)
