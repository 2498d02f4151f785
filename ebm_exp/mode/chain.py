"""Chains on their way: a film, the trace of their energies, and how well they mix."""

from typing import Any

import torch
from torch import Tensor

from ebm_exp.files import write_json
from ebm_exp.mode.base import Drawn, Mode, Request, moving_of, save, thin
from ebm_exp.plots import chain_gif, energy_trace
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.sampler.diagnostics import mixing
from ebm_exp.sampling import Chains
from ebm_exp.types import EnergyFn, PositiveInt

N_FILMED = 64


class Chain(Mode):
    """``chain.gif``, ``energy.png``, ``diagnostics.json`` and ``samples.npz``, which has the trace of energies too.

    The diagnostics are of the second half of the chains: effective sample size, autocorrelation time and R̂ of the
    energy, and the means of what the sampler reports (acceptance, gradient norm, displacement, …). A flow, and chains
    through levels of noise, have no one density to mix in: of them the film, the trace of the energy of each time, and
    the means.

    Args:
        n_frames: images in the film.
    """

    def __init__(self, n_frames: PositiveInt = 40) -> None:
        self.n_frames = n_frames

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        sampling = moving_of(run)
        n_steps = sampling.n_steps
        filmed, frames = set(thin(n_steps, self.n_frames)), []
        energies: list[Tensor] = []
        reports: list[dict[str, Tensor]] = []

        def watch(step: int, energy: EnergyFn, state: Any, info: Any) -> None:
            if step in filmed:
                frames.append(state.x[:N_FILMED].cpu())
            energies.append(energy(state.x))
            reports.append(info.metrics())
            request.progress(step)

        samples = run.draw(request.n, request.seed, watch=watch, label=request.label)
        trace = torch.stack(energies)  # [n_steps, chains that ran first together]
        half = n_steps // 2
        numbers = {name: float(torch.stack([r[name] for r in reports[half:]]).mean()) for name in reports[0]}
        if isinstance(sampling, Chains) and n_steps - half >= 4 and trace.shape[1] >= 2:
            numbers |= mixing(trace[half:])._asdict()
        folder, dataset = request.folder, run.parts["dataset"]
        film, image, report = folder / "chain.gif", folder / "energy.png", folder / "diagnostics.json"
        chain_gif(film, torch.stack(frames), dataset.units)
        energy_trace(image, trace)
        write_json(report, numbers)
        saved = save(folder, samples, run.energies(samples), dataset, energy_trace=trace.float().cpu().numpy())
        return Drawn({"chain": film, "energy": image} | saved | {"diagnostics": report}, numbers)
