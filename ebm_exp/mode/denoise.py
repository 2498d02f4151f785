"""Noisy data, cleaned by chains on the posterior."""

import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.energy.posterior import Denoising
from ebm_exp.mode.base import Drawn, Mode, Request, densities_of, save
from ebm_exp.plots import sample_panels
from ebm_exp.random import generator
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.sampling import Levels
from ebm_exp.types import Positive

BEGIN = 0.9  # share of the noise that the first level has


class Denoise(Mode):
    """``denoise.png``: held-out points, the same with noise, and where chains on E(x) + T|x − y|²/2σ² ended from there.

    ``psnr_noisy`` and ``psnr`` are peak signal-to-noise ratios in dB, the peak being the width of the domain.

    Args:
        noise_std: σ, in units of the domain.
    """

    def __init__(self, noise_std: Positive = 0.3) -> None:
        self.noise_std = noise_std

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        sampling = densities_of(run)
        dataset = run.parts["dataset"]
        n = min(request.n, dataset.n_test)
        clean, g = dataset.test(n), generator(dataset.device, "denoise", request.seed)
        noisy = clean + self.noise_std * torch.randn(clean.shape, generator=g, device=clean.device)
        noise = run.parts["noise"]
        target = Denoising(sampling.moved_by(run.energy), self.noise_std, run.temperature, noise)
        start = noisy.clamp(dataset.domain.low, dataset.domain.high)
        if isinstance(sampling, Levels):  # from the level that has nearly as much noise
            first = noise.time_of(BEGIN * self.noise_std)
            least = noise.width(noise.t_density) / noise.share(noise.t_density) / BEGIN
            if self.noise_std <= least:
                raise UserError(f"mode.noise_std: must be > {least:.3g} with sampling=levels, got {self.noise_std:g}")
            sampling, start = sampling.replace(t_first=first), noise.share(first) * noisy

        samples = run.draw(
            n, request.seed, watch=request.watch, label=request.label, energy=target, sampling=sampling, start=start,
            noisy=noisy,
        )  # fmt: skip
        image = request.folder / "denoise.png"
        panels = {"data": clean, f"with noise {self.noise_std:g}": noisy, "denoised": samples.x}
        sample_panels(image, panels, dataset.units)

        def psnr(x: Tensor) -> float:
            width = dataset.domain.high - dataset.domain.low
            return float(10 * (width**2 / (x - clean).square().mean()).log10())

        metrics = {"psnr_noisy": psnr(noisy), "psnr": psnr(samples.x)}
        saved = save(request.folder, samples, run.energies(samples), dataset)
        return Drawn({"denoise": image} | saved, metrics)
