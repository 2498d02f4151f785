"""The images of a run, as files. matplotlib is imported where it draws; nothing here keeps state."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.domain import Domain
from ebm_exp.files import replacing
from ebm_exp.logger.base import Histogram
from ebm_exp.types import Batch, EnergyFn, PerSample

_DATA, _MODEL, _DPI = "#1f6fb4", "#d9662b", 120
_MORE = ("#2e8b57", "#7b4fa6", "#b0a11e", "#c2255c", "#5c4a3d", "#1a9aa8")  # of further sets
_CELL, _SIDE = 40, 480  # pixels: least longer side of one image, side of a whole mosaic to aim at
_SEPARATOR = (84, 120, 156)  # tinted, so that no grey value of an image passes for it
_MAX_FRAMES = 60


def mosaic(x: Batch, domain: Domain, n_max: int = 64, n_columns: int | None = None, side: int = _SIDE) -> np.ndarray:
    """Images ``[n, C, H, W]`` side by side in one uint8 array ``[height, width, 3]``, enlarged, lines between.

    At most ``n_max`` are shown, in ``n_columns`` columns (None: as square as it gets), by whole multiples of a pixel
    that bring the whole near ``side`` pixels. One channel is grey, three are RGB, of any other number the first shows.
    """
    x = x[:n_max].detach().float().cpu().clamp(domain.low, domain.high)
    levels = ((x - domain.low) / (domain.high - domain.low) * 255).round().to(torch.uint8)
    levels = levels if levels.shape[1] == 3 else levels[:, :1].expand(-1, 3, -1, -1)
    n_columns = n_columns or max(1, math.ceil(math.sqrt(len(levels))))
    longer = max(levels.shape[2:])
    scale = max(1, -(-_CELL // longer), round(side / n_columns / longer))
    levels = levels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    n_rows = math.ceil(len(levels) / n_columns)
    height, width = levels.shape[2] + 2, levels.shape[3] + 2
    canvas = np.full((n_rows * height + 2, n_columns * width + 2, 3), _SEPARATOR, dtype=np.uint8)
    images = levels.permute(0, 2, 3, 1).numpy()
    for i in range(n_rows * n_columns):
        row, column = divmod(i, n_columns)
        top, left = row * height + 2, column * width + 2
        canvas[top : top + height - 2, left : left + width - 2] = images[i] if i < len(images) else 255
    return canvas


def sample_panels(path: Path, panels: dict[str, Batch], domain: Domain) -> None:
    """Grids of up to 64 images side by side under their titles, all at one scale."""
    if len(domain.event_shape) == 3:
        n_columns = math.ceil(math.sqrt(min(64, max(len(x) for x in panels.values()))))
        shown = {title: mosaic(x, domain, n_columns=n_columns) for title, x in panels.items()}
    else:  # points of another shape: one row per sample
        shown = {
            title: x[:64].flatten(1).detach().float().cpu().clamp(domain.low, domain.high).numpy()
            for title, x in panels.items()
        }
    width = max(_SIDE * 3 // 4, *(image.shape[1] for image in shown.values()))
    images = len(domain.event_shape) == 3
    height = max(image.shape[0] for image in shown.values()) if images else _SIDE
    gap, top = 24, 48  # in pixels, like all of this layout: a mosaic on paper keeps its pixels whole
    total = gap + (width + gap) * len(shown), top + height + gap
    figure = _figure(total[0] / _DPI, total[1] / _DPI)
    figure.set_layout_engine("none")
    for i, (title, image) in enumerate(shown.items()):
        w, h = (image.shape[1], image.shape[0]) if images else (width, height)
        left, bottom = gap + (width + gap) * i, total[1] - top - h
        axes = figure.add_axes((left / total[0], bottom / total[1], w / total[0], h / total[1]))
        axes.imshow(image, interpolation="nearest", aspect="auto", cmap="gray", vmin=domain.low, vmax=domain.high)
        axes.set_axis_off()
        axes.set_title(title, fontsize=11, loc="left")
    _save(_drawn(figure), path)


def sample_grid(path: Path, x: Batch, domain: Domain) -> None:
    """One grid of up to 256 images, or a scatter plot of points in the plane."""
    if domain.event_shape == (2,):
        _save(_scatter_image(x, domain, 5), path)
    elif len(domain.event_shape) == 3:
        _save(Image.fromarray(mosaic(x, domain, 256)), path)
    else:
        sample_panels(path, {"samples": x}, domain)


def pixels(x: Batch, domain: Domain, side: int = _SIDE) -> np.ndarray:
    """Up to 64 images, or up to 1,000 points in the plane, as one image ``[height, width, 3]``; others a row each.

    Images are enlarged until the whole is near ``side`` pixels.
    """
    if domain.event_shape == (2,):
        return np.asarray(_scatter_image(x[:1000], domain))
    if len(domain.event_shape) == 3:
        return mosaic(x, domain, side=side)
    return mosaic(x[:64].flatten(1)[None, None], domain)


def histograms(energies: dict[str, PerSample]) -> dict[str, Histogram]:
    """How finite energies are spread, by what they are of, over the same bins; without those that have none."""
    shown = {name: e[e.isfinite()].numpy() for name, e in ((k, v.detach().float().cpu()) for k, v in energies.items())}
    shown = {name: e for name, e in shown.items() if len(e)}
    if not shown:
        return {}
    edges = np.histogram_bin_edges(np.concatenate(list(shown.values())), bins=40)
    return {name: Histogram(np.histogram(e, edges)[0], edges) for name, e in shown.items()}


def energy_histogram(path: Path, energies: dict[str, PerSample], title: str) -> None:
    """Energies by what they are of, e.g. ``data`` and ``negatives``: apart means that the model tells them apart."""
    shown = {name: e[e.isfinite()].numpy() for name, e in ((k, v.detach().float().cpu()) for k, v in energies.items())}
    edges = np.histogram_bin_edges(np.concatenate(list(shown.values())), bins=40)
    figure = _figure(6, 3.6)
    figure.set_layout_engine("none")  # it draws all twice; here is room enough for counts
    axes = figure.add_axes((0.1, 0.16, 0.88, 0.75))
    for i, (name, e) in enumerate(shown.items()):
        color = (_DATA, _MODEL, *_MORE)[i % (2 + len(_MORE))]
        axes.hist(e, edges, histtype="stepfilled", alpha=0.6, color=color, label=f"{name}, mean {e.mean():.3g}")
    axes.set(xlabel="energy E(x)", ylabel="samples of the batch", title=title)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    _save(_drawn(figure), path)


def energy_trace(path: Path, trace: Tensor) -> None:
    """Energies of chains step by step, ``[n_steps, n_chains]``: median, the middle 80 %, and four chains."""
    e = trace.detach().float().cpu().numpy()
    steps = np.arange(1, len(e) + 1)
    low, middle, high = np.quantile(e, (0.1, 0.5, 0.9), axis=1)
    figure = _figure(6, 3.6)
    axes = figure.add_subplot()
    axes.fill_between(steps, low, high, color=_MODEL, alpha=0.25, linewidth=0, label=f"80 % of {e.shape[1]} chains")
    axes.plot(steps, e[:, :4], color=_DATA, linewidth=0.7, alpha=0.7)
    axes.plot([], [], color=_DATA, linewidth=0.7, label="single chains")
    axes.plot(steps, middle, color=_MODEL, label="median")
    axes.set(xlabel="step", ylabel="energy E(x)", xscale="log" if len(e) >= 100 else "linear")
    # A first step far outside would squeeze all others.
    settled, moved = e[len(e) // 5 :], e[min(max(1, len(e) // 50), len(e) - 1) :]
    axes.set_ylim(*_pad(float(np.quantile(settled, 0.001)), float(np.quantile(moved, 0.999))))
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    _save(_drawn(figure), path)


def _pad(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


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
    figure = _figure(10.4, 5.0)
    top = float(truth.max())
    panels = []
    for i, (values, title, dots) in enumerate(
        ((model, "model: exp(−E/T)/Z and fresh chains", True), (truth, name, False))
    ):
        axes = figure.add_subplot(1, 2, i + 1)
        panels.append(axes)
        heat = axes.imshow(
            values, origin="lower", extent=(domain.low, domain.high) * 2, cmap="viridis", vmin=0, vmax=top
        )
        if dots:
            _scatter(axes, samples[:400], domain, color="white", size=3)
        axes.set_title(title, fontsize=11)
    # One scale for both: what the model holds above the data's peak is cut, and the arrow says so.
    figure.colorbar(heat, ax=panels, shrink=0.85, label="density", extend="max", pad=0.02)
    _save(_drawn(figure), path)


@torch.no_grad()
def heat_maps(path: Path, energies: dict[str, tuple[EnergyFn, float]], domain: Domain, samples: Batch) -> None:
    """Densities exp(−E/T)/Z in the plane side by side, each with its own scale; fresh samples on the last."""
    n = 200
    edges = torch.linspace(domain.low, domain.high, n + 1, device=samples.device)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), -1).view(-1, 2)
    figure = _figure(4.4 * len(energies), 4.6)
    for i, (title, (energy, temperature)) in enumerate(energies.items()):
        density = (-energy(points).double() / temperature).softmax(0).view(n, n).cpu().numpy()
        axes = figure.add_subplot(1, len(energies), i + 1)
        axes.imshow(density, origin="lower", extent=(domain.low, domain.high) * 2, cmap="viridis", vmin=0)
        axes.set_title(title, fontsize=11)
    _scatter(axes, samples[:400], domain, color="white", size=3)
    _save(_drawn(figure), path)


def chain_gif(path: Path, frames: Tensor, domain: Domain, ms_per_frame: int = 80) -> None:
    """Chains as they move: frames ``[n_frames, n, *event]``, the last held for a second; 36 images, or all points.

    Of more than 60 frames, 60 evenly spread ones are shown, first and last among them.
    """
    if len(frames) > _MAX_FRAMES:
        frames = frames[np.linspace(0, len(frames) - 1, _MAX_FRAMES).round().astype(int)]
    if len(domain.event_shape) == 3:
        images = [Image.fromarray(mosaic(x, domain, 36)) for x in frames]
    else:
        images = [_scatter_image(x, domain) for x in frames]
    palette = [image.convert("P", palette=Image.Palette.ADAPTIVE) for image in images]
    durations = [ms_per_frame] * (len(palette) - 1) + [1000]
    with replacing(path) as file:
        palette[0].save(file, "GIF", save_all=True, append_images=palette[1:], duration=durations, loop=0)


def _scatter_image(x: Batch, domain: Domain, inches: float = 4) -> Any:
    figure = _figure(inches, inches)
    _scatter(figure.add_subplot(), x, domain)
    return _drawn(figure)


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


def _save(image: Any, path: Path) -> None:
    with replacing(path) as file:
        image.save(file, "PNG")


def _drawn(figure: Any) -> Any:
    """The figure as an image; ``savefig`` would draw it twice."""
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
