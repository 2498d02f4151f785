"""How likely a model finds rows, or images, of one's own."""

import logging
import os
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.absent import Absent
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.decode import Channels, decoded
from ebm_exp.dataset.domain import Domain
from ebm_exp.dataset.files import given_path, images_below, shown
from ebm_exp.dataset.units import Units
from ebm_exp.energy.analytic import Analytic
from ebm_exp.evaluator.grid import log_z
from ebm_exp.mode.base import Drawn, Mode, Request
from ebm_exp.mode.rows import Rows, TableOptions, find_labels, read_rows, rounded, write_csv
from ebm_exp.plots import energy_histogram, sample_panels
from ebm_exp.run.handed import take
from ebm_exp.run.likelihood import levels_of, log_density, read_log_z
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.shell import override
from ebm_exp.types import Points, Probability

_LOG = logging.getLogger(__name__)
CELLS = 600  # per side, where log Z is by quadrature
N_COMPARED = 1000  # points of the data whose energies are shown beside
SHOWN = 64


class Score(Mode):
    """``scores.csv``: rows of a file, or images, the most anomalous first: number, energy, and what they are.

    ``log_density`` is log p in nats per point, where ``evaluate.py`` has found log Z of these weights (by
    ``evaluator=ais``, with a normaliser ``density``), or the energy knows it. ``scores.png`` has the energies beside
    those of the data, ``extremes.png``, of images, those of the highest and lowest energy.

    ``beyond``: the share of them whose energy is above that of the given share of the data.

    Args:
        path: a table; for images a folder, or an array (.npy) of levels.
        share: of the data, held-out points where there are such.
        skip: rows without a point (something is missing, or a category or value is none of the data's) get no score and
            stand last, in place of being refused.
        options: how a table is read.
    """

    draws = False

    def __init__(
        self, path: str, share: Probability = 0.99, skip: bool = False, **options: Unpack[TableOptions]
    ) -> None:
        self.path, self.share, self.skip, self.options = path, share, skip, options

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Compute, and write files to the request's folder."""
        dataset: Dataset = run.parts["dataset"]
        are_images, rows = len(dataset.event_shape) == 3, None
        number, skipped = None, np.array([], dtype=int)
        if are_images:
            x, columns = _read_images(self.path, dataset, run.config["dataset"])
        else:
            if len(dataset.event_shape) != 1:
                shape = [*dataset.event_shape]
                raise UserError(f"mode: score needs rows or images, {dataset.name} has points of shape {shape}")
            rows = read_rows(self.path, dataset, True, self.options)
            columns = {name: rows.written(at) for at, name in enumerate(rows.cells.names)}
            if self.skip:
                rows, number, skipped = _scorable(rows, dataset.units)
            try:
                x = rows.encode(dataset.units, missing=False)
            except UserError as error:
                raise UserError(f"{error}; mode.skip=true scores the other rows") from None
        x, y = x.to(dataset.device), find_labels(run, len(x), request.label, rows)
        labels = None if y is None else torch.tensor(y, device=x.device)
        if levels_of(run) is None:
            _tell_outside(x, dataset.domain)
        points = Points(x, labels)
        energy = run.energies(points).double().cpu()
        worst = energy.argsort(descending=True, stable=True)
        constant = _find_log_z(run)
        log_p = None if constant is None else log_density(run, take(run, points), constant).cpu()
        order, blank = worst.numpy(), [None] * len(skipped)
        order = np.concatenate([order if number is None else number[order], skipped])
        table: dict[str, Any] = {"row": order, "energy": [*rounded(energy[worst]), *blank]}
        if log_p is not None:
            table["log_density"] = [*rounded(log_p[worst]), *blank]
        file, image = request.folder / "scores.csv", request.folder / "scores.png"
        write_csv(file, table | {_free(name, table): column[order] for name, column in columns.items()})
        metrics = {"rows": float(len(x)), "energy": float(energy.mean())}
        if log_p is not None:
            metrics["log_density"] = float(log_p.mean())
        energies = {Path(self.path).name: energy}
        if not isinstance(dataset, Absent):
            data = _energies_of_data(run, dataset)
            energies = {"held-out data" if dataset.holds_out else "training data": data} | energies
            metrics["beyond"] = float((energy > data.quantile(self.share)).double().mean())
        energy_histogram(image, energies, f"energies, step {run.step:,}")
        files = {"scores": file, "image": image}
        if are_images:
            files["extremes"] = request.folder / "extremes.png"
            panels = {"highest energies": x[worst[:SHOWN]], "lowest energies": x[worst.flip(0)[:SHOWN]]}
            sample_panels(files["extremes"], panels, dataset.units)
        return Drawn(files, metrics)


def _scorable(rows: Rows, units: Units) -> tuple[Rows, np.ndarray, np.ndarray]:
    """The rows that have a point, their numbers, and the numbers of the others, which a line tells."""
    has_point = rows.scorable(units)
    number, skipped = np.flatnonzero(has_point), np.flatnonzero(~has_point)
    if not len(number):
        raise UserError(f"mode.path: no row of {rows.cells.file} can be scored; mode=impute draws what is missing")
    if len(skipped):
        _LOG.warning(
            "%s of %s rows have no score: something is missing, or a value is none that the training rows have",
            f"{len(skipped):,}",
            f"{rows.n:,}",
        )
    return rows.take(number), number, skipped


def _find_log_z(run: LoadedRun) -> float | None:
    """log Z for ``log_density``, where it is known or a matter of a moment; a line says what there is to say."""
    dataset, energy = run.parts["dataset"], run.energy
    if run.temperature <= 0 or energy.conditional:
        return None
    if isinstance(energy, Analytic) and run.temperature == 1:
        return float(energy.log_z)
    has_levels = levels_of(run) is not None
    if dataset.event_shape == (2,) and not has_levels:
        return float(log_z(energy.of_data(), dataset, run.temperature, CELLS))
    found = read_log_z(run)
    if found is None:
        where = override("run", run.path)
        evaluator = "density" if has_levels else "ais"
        _LOG.info("log Z of these weights is not known: evaluate.py %s evaluator=%s finds it", where, evaluator)
        return None
    if found.refuted:
        _LOG.warning("log Z is refuted by its own evidence: %s", found.verdict)
    return found.value


def _tell_outside(x: Tensor, domain: Domain) -> None:
    """Say how many points lie where the model has no density: what is far from all data, as a rule."""
    n = int(((x - domain.centre).abs() > domain.half_width * (1 + 1e-6)).flatten(1).any(1).sum())
    if n:
        ends = f"[{domain.low:g}, {domain.high:g}]"
        _LOG.warning(
            "%s of %s points lie outside of the box %s, where there is no density", f"{n:,}", f"{len(x):,}", ends
        )


def _energies_of_data(run: LoadedRun, dataset: Dataset) -> Tensor:
    points = next(dataset.blocks("test", N_COMPARED))  # those of training where none are held out
    return run.energies(points).double().cpu()


def _read_images(path: str, dataset: Dataset, node: dict[str, Any]) -> tuple[Tensor, dict[str, np.ndarray]]:
    """Points ``[n, C, H, W]`` of a folder of images, or of an array of levels, and what each is called."""
    channels, height, width = dataset.event_shape
    try:
        place = given_path("path", path)
        if place.is_dir():
            files = images_below(place)
            if not files or height != width:
                raise ValueError(f"path: {shown(place)} holds no images" if not files else "path: must be an array")
            cache = given_path("cache_dir", node.get("cache_dir", "outputs/cache"))
            how = {"background": node["background"]} if "background" in node else {}
            kind: Channels = "grey" if channels == 1 else "rgb"
            levels = decoded(files, height, kind, cache, os.cpu_count() or 1, **how)
            names = np.array([shown(os.path.relpath(file, place)) for file in files], dtype=object)
            return dataset.units.encode(levels), {"file": names}
        if place.suffix != ".npy" or not place.is_file():
            raise ValueError(f"path: must be a folder of images, or an array of them (.npy), got {shown(place)}")
        return dataset.units.encode(np.load(place, allow_pickle=False)), {}
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"mode.{str(error).removeprefix('root: ').removeprefix('mode.')}") from None


def _free(name: str, taken: dict[str, Any]) -> str:
    """A column's name that none of ours is."""
    return f"{name} (file)" if name in taken else name
