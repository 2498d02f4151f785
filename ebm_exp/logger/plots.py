"""The pictures of a run, as files. matplotlib is imported where it draws; nothing here keeps state."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.types import Batch, EnergyFn, PerSample

_DATA, _MODEL, _DPI = "#1f6fb4", "#d9662b", 120
_CELL = 40  # least pixels of a picture's longer side on paper


def mosaic(x: Batch, domain: Domain, n_max: int = 64) -> np.ndarray:
    """Pictures ``[n, C, H, W]`` side by side in one uint8 array ``[height, width, 3]``, enlarged, lines between."""
    x = x[:n_max].detach().float().cpu().clamp(domain.low, domain.high)
    levels = ((x - domain.low) / (domain.high - domain.low) * 255).round().to(torch.uint8)
    levels = levels.expand(-1, 3, -1, -1) if levels.shape[1] == 1 else levels[:, :3]
    scale = max(1, -(-_CELL // max(levels.shape[2:])))
    levels = levels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    n_columns = math.ceil(math.sqrt(len(levels)))
    n_rows = math.ceil(len(levels) / n_columns)
    height, width = levels.shape[2] + 2, levels.shape[3] + 2
    canvas = np.full((n_rows * height + 2, n_columns * width + 2, 3), 110, dtype=np.uint8)
    for i, picture in enumerate(levels.permute(0, 2, 3, 1).numpy()):
        row, column = divmod(i, n_columns)
        top, left = row * height + 2, column * width + 2
        canvas[top : top + height - 2, left : left + width - 2] = picture
    return canvas


def sample_panels(path: Path, panels: dict[str, Batch], domain: Domain) -> None:
    """Grids of pictures side by side under their titles."""
    figure = _figure(4.2 * len(panels), 4.5)
    for i, (title, x) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1)
        if len(domain.event_shape) == 3:
            axes.imshow(mosaic(x, domain), interpolation="nearest")
        else:  # points of another shape: one row per sample
            axes.imshow(x.flatten(1).cpu(), aspect="auto", cmap="gray", vmin=domain.low, vmax=domain.high)
        axes.set_axis_off()
        axes.set_title(title, fontsize=11)
    _write(figure, path)


def sample_grid(path: Path, x: Batch, domain: Domain) -> None:
    """One grid of up to 256 pictures, or a scatter plot of points in the plane."""
    if domain.event_shape == (2,):
        figure = _figure(5, 5)
        _scatter(figure.add_subplot(), x, domain)
        _write(figure, path)
    elif len(domain.event_shape) == 3:
        from PIL import Image

        Image.fromarray(mosaic(x, domain, 256)).save(path)
    else:
        sample_panels(path, {"samples": x}, domain)


def energy_histogram(path: Path, e_pos: PerSample, e_neg: PerSample, title: str) -> None:
    """Energies of a batch of data against those of its negatives: apart means that the model tells them apart."""
    pos, neg = (e.detach().float().cpu().numpy() for e in (e_pos, e_neg))
    edges = np.histogram_bin_edges(np.concatenate([pos, neg]), bins=40)
    figure = _figure(6, 3.6)
    axes = figure.add_subplot()
    axes.hist(pos, edges, alpha=0.6, color=_DATA, label=f"data, mean {pos.mean():.3g}")
    axes.hist(neg, edges, alpha=0.6, color=_MODEL, label=f"negatives, mean {neg.mean():.3g}")
    axes.set(xlabel="energy E(x)", ylabel="samples of the batch", title=title)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    _write(figure, path)


@torch.no_grad()
def density_panels(path: Path, energy: EnergyFn, dataset: Dataset, samples: Batch, temperature: float) -> None:
    """exp(−E/T), normalised on the domain, with fresh samples on it, beside the data's density (or its histogram)."""
    n, domain = 200, dataset.domain
    axis = torch.linspace(domain.low, domain.high, n + 1, device=dataset.device)
    centres = (axis[1:] + axis[:-1]) / 2
    points = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1).view(-1, 2)
    cell = float(axis[1] - axis[0]) ** 2
    log_p = torch.log_softmax(-energy(points).double() / temperature, 0) - math.log(cell)
    model = log_p.exp().view(n, n).float().cpu().numpy()
    if dataset.has_density:
        truth, name = dataset.log_prob(points).exp().view(n, n).cpu().numpy(), "data: density"
    else:
        x = dataset.train().cpu().numpy()
        truth = np.histogram2d(x[:, 1], x[:, 0], bins=axis.cpu().numpy(), density=True)[0]
        name = "data: histogram"
    figure = _figure(10.4, 4.6)
    top = float(truth.max())
    for i, (values, title, dots) in enumerate(
        ((model, "model: exp(−E/T)/Z and fresh chains", True), (truth, name, False))
    ):
        axes = figure.add_subplot(1, 2, i + 1)
        heat = axes.imshow(
            values, origin="lower", extent=(domain.low, domain.high) * 2, cmap="viridis", vmin=0, vmax=top
        )
        if dots:
            _scatter(axes, samples[:400], domain, color="white", size=3)
        axes.set_title(title, fontsize=11)
        figure.colorbar(heat, ax=axes, shrink=0.85, label="density" if i else None)
    _write(figure, path)


def chain_gif(path: Path, frames: Tensor, domain: Domain, ms_per_frame: int = 80) -> None:
    """Chains as they move: frames ``[n_frames, n, *event]``, the last held for a second; 36 pictures, or all points."""
    from PIL import Image

    if len(domain.event_shape) == 3:
        pictures = [Image.fromarray(mosaic(x, domain, 36)) for x in frames]
    else:
        pictures = [_scatter_image(x, domain) for x in frames]
    palette = [picture.convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures]
    durations = [ms_per_frame] * (len(palette) - 1) + [1000]
    palette[0].save(path, save_all=True, append_images=palette[1:], duration=durations, loop=0)


def _scatter_image(x: Batch, domain: Domain) -> Any:
    from PIL import Image

    figure = _figure(4, 4)
    _scatter(figure.add_subplot(), x, domain)
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())


def _scatter(axes: Any, x: Batch, domain: Domain, color: str = _MODEL, size: float = 6) -> None:
    points = x.flatten(1)[:, :2].detach().cpu().numpy()
    axes.scatter(points[:, 0], points[:, 1], s=size, color=color, alpha=0.7, linewidths=0)
    axes.set(xlim=(domain.low, domain.high), ylim=(domain.low, domain.high), aspect="equal")


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _write(figure: Any, path: Path) -> None:
    figure.savefig(path)
