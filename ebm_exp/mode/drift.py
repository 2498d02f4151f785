"""Do long chains stay? Energies and moments after n, 10 n and 100 n steps: a sampler of a density does not drift.

A short-run model, which is a generator more than a density, does (Nijkamp et al. 2019; Nijkamp et al. 2020).
"""

from typing import Any

from torch import Tensor

from ebm_exp.mode.base import Drawn, Mode, Request, chains_of, save
from ebm_exp.plots import sample_panels
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.types import EnergyFn


class Drift(Mode):
    """``drift.png``: the same chains at three ages, and at each the mean energy, and mean and deviation of x.

    ``n_steps`` is n, so the chains have 100 n steps.
    """

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        sampling, dataset = chains_of(run), run.parts["dataset"]
        n = sampling.n_steps
        long = sampling.replace(n_steps=100 * n)
        panels: dict[str, Tensor] = {}
        metrics: dict[str, float] = {}

        def watch(step: int, energy: EnergyFn, state: Any, info: Any) -> None:
            if step in (n, 10 * n, 100 * n):
                panels[f"after {step:,} steps"] = state.x
                metrics[f"energy_{step}"] = float(energy(state.x).mean())
                metrics[f"mean_{step}"], metrics[f"std_{step}"] = float(state.x.mean()), float(state.x.std())
            request.progress(step)

        samples = run.draw(request.n, request.seed, watch=watch, label=request.label, sampling=long)
        image = request.folder / "drift.png"
        sample_panels(image, panels, dataset.units)
        saved = save(request.folder, samples, run.energies(samples), dataset)
        return Drawn({"drift": image} | saved, metrics)
