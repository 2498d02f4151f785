"""The images of a run, as files. matplotlib is imported where it draws; nothing here keeps state."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ebm_exp.canvas import DATA, DPI, MODEL, MORE, open_figure, render, save
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.dataset.units import Units
from ebm_exp.files import replacing
from ebm_exp.logger.base import Histogram
from ebm_exp.marginals import draw_pairs
from ebm_exp.plane import scatter, scatters
from ebm_exp.types import Batch, PerSample

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


def sample_panels(path: Path, panels: dict[str, Batch], units: Units) -> None:
    """Grids of up to 64 images side by side under their titles, all at one scale; of other points see ``marginals``,
    of bits that stand for points of the plane ``plane``.
    """
    domain = units.domain
    if units.plane is not None:
        scatters(path, panels, units)
        return
    if len(domain.event_shape) != 3:
        draw_pairs(path, panels, units)
        return
    n_columns = math.ceil(math.sqrt(min(64, max(len(x) for x in panels.values()))))
    shown = {title: mosaic(x, domain, n_columns=n_columns) for title, x in panels.items()}
    width = max(_SIDE * 3 // 4, *(image.shape[1] for image in shown.values()))
    height = max(image.shape[0] for image in shown.values())
    gap, top = 24, 48  # in pixels, like all of this layout: a mosaic on paper keeps its pixels whole
    total = gap + (width + gap) * len(shown), top + height + gap
    figure = open_figure(total[0] / DPI, total[1] / DPI, None)
    for i, (title, image) in enumerate(shown.items()):
        w, h = image.shape[1], image.shape[0]
        left, bottom = gap + (width + gap) * i, total[1] - top - h
        axes = figure.add_axes((left / total[0], bottom / total[1], w / total[0], h / total[1]))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(title, fontsize=11, loc="left")
    save(render(figure), path)


def sample_grid(path: Path, x: Batch, units: Units, data: Tensor | None = None) -> None:
    """One grid of up to 256 images, a scatter plot of points in the plane, or marginals and pairs beside the data's."""
    domain = units.domain
    if len(domain.event_shape) == 3:
        save(Image.fromarray(mosaic(x, domain, 256)), path)
    elif units.plane is not None or (domain.event_shape == (2,) and not isinstance(units, TableUnits)):
        save(scatter(x, units, 5), path)
    else:
        draw_pairs(path, ({} if data is None else {"data": data}) | {"samples": x}, units)


def pixels(x: Batch, units: Units, side: int = _SIDE) -> np.ndarray:
    """Up to 64 images, or up to 1,000 points in the plane, as one image ``[height, width, 3]``.

    Images are enlarged until the whole is near ``side`` pixels.
    """
    if len(units.domain.event_shape) == 3:
        return mosaic(x, units.domain, side=side)
    return np.asarray(scatter(x[:1000], units))


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
    figure = open_figure(6, 3.6, None)
    axes = figure.add_axes((0.1, 0.16, 0.88, 0.75))
    for i, (name, e) in enumerate(shown.items()):
        color = (DATA, MODEL, *MORE)[i % (2 + len(MORE))]
        axes.hist(e, edges, histtype="stepfilled", alpha=0.6, color=color, label=f"{name}, mean {e.mean():.3g}")
    axes.set(xlabel="energy E(x)", ylabel="points", title=title)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    save(render(figure), path)


def energy_trace(path: Path, trace: Tensor) -> None:
    """Energies of chains step by step, ``[n_steps, n_chains]``: median, the middle 80 %, and four chains."""
    e = trace.detach().float().cpu().numpy()
    steps = np.arange(1, len(e) + 1)
    low, middle, high = np.quantile(e, (0.1, 0.5, 0.9), axis=1)
    figure = open_figure(6, 3.6)
    axes = figure.add_subplot()
    axes.fill_between(steps, low, high, color=MODEL, alpha=0.25, linewidth=0, label=f"80 % of {e.shape[1]} chains")
    axes.plot(steps, e[:, :4], color=DATA, linewidth=0.7, alpha=0.7)
    axes.plot([], [], color=DATA, linewidth=0.7, label="single chains")
    axes.plot(steps, middle, color=MODEL, label="median")
    axes.set(xlabel="step", ylabel="energy E(x)", xscale="log" if len(e) >= 100 else "linear")
    # A first step far outside would squeeze all others.
    settled, moved = e[len(e) // 5 :], e[min(max(1, len(e) // 50), len(e) - 1) :]
    axes.set_ylim(*_pad(float(np.quantile(settled, 0.001)), float(np.quantile(moved, 0.999))))
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    save(render(figure), path)


def _pad(low: float, high: float) -> tuple[float, float]:
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def chain_gif(path: Path, frames: Tensor, units: Units, ms_per_frame: int = 80) -> None:
    """Chains as they move: frames ``[n_frames, n, *event]``, the last held for a second; 36 images, or all points.

    Of more than 60 frames, 60 evenly spread ones are shown, first and last among them; of points that are no images,
    the first two components.
    """
    if len(frames) > _MAX_FRAMES:
        frames = frames[np.linspace(0, len(frames) - 1, _MAX_FRAMES).round().astype(int)]
    if len(units.domain.event_shape) == 3:
        images = [Image.fromarray(mosaic(x, units.domain, 36)) for x in frames]
    else:
        images = [scatter(x, units) for x in frames]
    palette = [image.convert("P", palette=Image.Palette.ADAPTIVE) for image in images]
    durations = [ms_per_frame] * (len(palette) - 1) + [1000]
    with replacing(path) as file:
        palette[0].save(file, "GIF", save_all=True, append_images=palette[1:], duration=durations, loop=0)
