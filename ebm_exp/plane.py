"""Images of points in the plane, and of densities on it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ebm_exp.canvas import DATA, MODEL, open_figure, plain, render, save
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.dataset.units import Units
from ebm_exp.types import Batch, EnergyFn

_FEW = 50  # points, of which each is drawn larger


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
        side = min(n, round(4 * len(x) ** (1 / 3)))  # coarse enough for some points in a bin
        bins = np.linspace(domain.low, domain.high, side + 1)
        truth = np.histogram2d(x[:, 1], x[:, 0], bins=bins, density=True)[0]
        name = "data: histogram"
    figure = open_figure(10.4, 5.0)
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
            _dots(axes, samples[:400], dataset.units, color="white", size=3)
        _name_axes(axes, dataset.units)
        axes.set_title(title, fontsize=11)
    # One scale for both: what the model holds above the data's peak is cut, and the arrow says so.
    figure.colorbar(heat, ax=panels, shrink=0.85, label="density", extend="max", pad=0.02)
    save(render(figure), path)


@torch.no_grad()
def heat_maps(path: Path, energies: dict[str, tuple[EnergyFn, float]], units: Units, samples: Batch) -> None:
    """Densities exp(−E/T)/Z in the plane side by side, each with its own scale; fresh samples on the last."""
    n, domain = 200, units.domain
    edges = torch.linspace(domain.low, domain.high, n + 1, device=samples.device)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), -1).view(-1, 2)
    figure = open_figure(4.4 * len(energies), 4.6)
    for i, (title, (energy, temperature)) in enumerate(energies.items()):
        density = (-energy(points).double() / temperature).softmax(0).view(n, n).cpu().numpy()
        axes = figure.add_subplot(1, len(energies), i + 1)
        axes.imshow(density, origin="lower", extent=(domain.low, domain.high) * 2, cmap="viridis", vmin=0)
        _name_axes(axes, units)
        axes.set_title(title, fontsize=11)
    _dots(axes, samples[:400], units, color="white", size=3)
    save(render(figure), path)


def scatters(path: Path, panels: Mapping[str, Batch], units: Units) -> None:
    """Sets of points side by side under their titles, data in their own colour."""
    figure = open_figure(4.4 * len(panels), 4.6)
    for i, (title, x) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1)
        _dots(axes, x, units, DATA if title == "data" else MODEL, size=6 if len(x) > _FEW else 24)
        axes.set_title(title, fontsize=11)
    save(render(figure), path)


def scatter(x: Batch, units: Units, inches: float = 4) -> Any:
    """Points of the plane, decoded if they are bits, or the first two components of others, as an image."""
    figure = open_figure(inches, inches)
    axes = figure.add_subplot()
    _dots(axes, x, units)
    _name_axes(axes, units)
    return render(figure)


def _dots(axes: Any, x: Batch, units: Units, color: str = MODEL, size: float = 6) -> None:
    if units.plane is None:
        points, domain = x.flatten(1)[:, :2].detach().cpu().numpy(), units.domain
    else:
        points, domain = units.decode(x), units.plane
    axes.scatter(points[:, 0], points[:, 1], s=size, color=color, alpha=0.7, linewidths=0)
    axes.set(xlim=(domain.low, domain.high), ylim=(domain.low, domain.high), aspect="equal")


def _name_axes(axes: Any, units: Units) -> None:
    """The names of the first two columns of a table along a plane of its points, and values of theirs."""
    if not isinstance(units, TableUnits) or len(units.columns) < 2:
        return
    from matplotlib.ticker import MaxNLocator

    d, domain = len(units.columns), units.domain
    ends = units.maps.to_values(torch.tensor([[domain.low], [domain.high]]).expand(2, d))
    for k, axis in enumerate((axes.xaxis, axes.yaxis)):
        column = units.columns[k]
        if column.values is None:
            values = [v for v in MaxNLocator(5).tick_values(*ends[:, k].tolist()) if ends[0, k] <= v <= ends[1, k]]
            names = [f"{v:g}" for v in values]
        else:
            values, names = list(range(len(column.values))), [plain(str(v)) for v in column.values]
        v = torch.zeros(len(values), d, dtype=torch.float64)
        v[:, k] = torch.tensor(values, dtype=torch.float64)
        axis.set_ticks(units.maps.to_points(v, torch.full_like(v, 0.5))[:, k].tolist(), names)
        axis.set_label_text(plain(column.name))
