"""Rows of which some components are missing, completed by chains that keep the rest."""

from collections import Counter
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.absent import Absent
from ebm_exp.dataset.base import Dataset
from ebm_exp.energy.posterior import Inpainting
from ebm_exp.mode.base import Drawn, Mode, Request, densities_of
from ebm_exp.mode.given import draw_given, find_gaussians
from ebm_exp.mode.rows import Rows, TableOptions, find_labels, read_rows, rounded, write_csv
from ebm_exp.plots import sample_panels
from ebm_exp.random import generator, normal_like
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.sampler import Jump
from ebm_exp.sampling import Levels
from ebm_exp.types import Name, Points

N_DATA = 1000  # rows that are shown beside


class Impute(Mode):
    """``imputed.csv``: the rows of a file, what is missing in them drawn from the model, given the rest.

    Chains run on E with the components that are given held fixed, so each draw is one of p(missing | given), as far as
    chains of this length reach it; they begin at Gaussians given the rest (``given.py``), and do not jump. A given
    value that stands for an interval is held at a draw within it. All columns of the file are kept, those that are no
    data too; columns of the data that it lacks are missing in every row.

    With several draws (``n_samples``) each row stands there as often, with ``row`` and ``draw`` in front; or once, with
    ``summary``: means of numbers, the most frequent value of a category, and beside each column with something missing
    the deviation of its draws (``…_std``), or the share of that value (``…_share``); both empty where it was given.

    Args:
        path: the file: a table (.csv, .tsv, .txt, .dat, .parquet, .npy, .npz).
        summary: one row for each, in place of every draw.
        options: how it is read.
    """

    def __init__(self, path: str, summary: bool = False, **options: Unpack[TableOptions]) -> None:
        self.path, self.summary, self.options = path, summary, options

    def __call__(self, run: LoadedRun, request: Request) -> Drawn:
        """Draw, and write files to the request's folder."""
        dataset: Dataset = run.parts["dataset"]
        if len(dataset.event_shape) != 1:
            shape = [*dataset.event_shape]
            raise UserError(f"mode: impute needs rows, {dataset.name} has points of shape {shape}; try mode=inpaint")
        rows = read_rows(self.path, dataset, False, self.options)
        gaps = rows.encode(dataset.units, missing=True).isnan()
        gaps = gaps[:, :: gaps.shape[1] // len(rows.columns)]  # of columns, of which all bits are missing or none
        open_rows = gaps.any(1).nonzero().squeeze(1)
        if len(open_rows) == 0:
            raise UserError(f"mode.path: nothing is missing in {rows.cells.file}; mode=score tells what rows are like")
        of_row = torch.arange(rows.n).repeat_interleave(request.n)  # the row of each draw
        x = rows.take(of_row.numpy()).encode(dataset.units, missing=True)
        is_open = gaps[of_row].any(1)
        y, names = find_labels(run, rows.n, request.label, rows), dataset.class_names
        label = None if y is None else tuple(names[y[i]] for i in of_row[is_open].tolist())
        drawn, energy = self._draw(run, request, x[is_open].to(dataset.device), label)
        x[is_open] = drawn.cpu()
        columns = self._columns(rows, dataset, x, gaps, request.n)
        file, image = request.folder / "imputed.csv", request.folder / "imputed.png"
        write_csv(file, columns)
        data = {} if isinstance(dataset, Absent) else {"data": dataset.train(N_DATA)}
        sample_panels(image, data | {"completed rows": drawn}, dataset.units)
        metrics = {"rows": float(rows.n), "incomplete": float(len(open_rows)), "missing": float(gaps.sum())}
        return Drawn({"imputed": file, "image": image}, metrics | {"energy": float(energy.mean())})

    def _draw(
        self, run: LoadedRun, request: Request, x: Tensor, label: tuple[Name, ...] | None
    ) -> tuple[Tensor, Tensor]:
        """Completed points ``[n, d]`` of those with gaps (NaN), and their energies ``[n]``."""
        sampling, hidden = densities_of(run), x.isnan()
        known = x.nan_to_num(0.0)  # what is hidden is never looked at
        context: dict[str, Any] = {"known": known, "hidden": hidden.to(x.dtype)}
        target = Inpainting(sampling.moved_by(run.energy), None, run.parts["noise"])
        g = generator(known.device, "impute", request.seed)
        if isinstance(sampling, Levels):
            z = normal_like(known, g)
            context |= {"z": z, "start": z}
        elif (found := find_gaussians(run)) is not None:
            context |= {"start": draw_given(*found, known, hidden, g)}
        if isinstance(sampling.sampler, Jump):  # what stands still keeps a jump of all components from being taken
            context |= {"sampling": sampling.replace(sampler=sampling.sampler.kernel)}
        ends = run.draw(len(x), request.seed, watch=request.watch, label=label, energy=target, **context)
        completed = target.completed(ends.x, known, hidden)
        return completed, run.energies(Points(completed, ends.y))

    def _columns(self, rows: Rows, dataset: Dataset, x: Tensor, gaps: Tensor, n_draws: int) -> dict[str, Any]:
        """The columns of the file that is written, by name; x ``[rows · draws, d]`` is whole."""
        summarize = self.summary and n_draws > 1
        names = getattr(dataset.units, "names", None) or [
            str(k) if at is None else rows.cells.names[at] for k, at in enumerate(rows.columns)
        ]
        values = dataset.units.decode(x)
        found = {k: np.asarray(values[name].to_list() if hasattr(values, "columns") else values[:, k], dtype=object)
                 for k, name in enumerate(names)}  # fmt: skip
        of_component = {at: k for k, at in enumerate(rows.columns) if at is not None}
        order = [(name, of_component.get(at)) for at, name in enumerate(rows.cells.names)]
        order += [(names[k], k) for k, at in enumerate(rows.columns) if at is None]
        repeated = np.arange(rows.n).repeat(1 if summarize else n_draws)
        written: dict[str, Any] = {}
        if n_draws > 1:
            written = {"row": repeated} | ({} if summarize else {"draw": np.tile(np.arange(n_draws), rows.n)})
        for name, k in order:
            if k is None:
                written[name] = rows.written(rows.cells.names.index(name))[repeated]
                continue
            given, open_ = rows.column(k).astype(object), gaps[:, k].numpy()
            if not summarize:
                written[name] = np.where(open_[repeated], found[k], _typed(given, found[k])[repeated])
                continue
            columns = getattr(dataset.units, "columns", None)
            is_category = columns is not None and columns[k].values is not None
            middle, spread, suffix = _summarize(found[k].reshape(rows.n, n_draws), is_category)
            written[name] = [a if o else b for o, a, b in zip(open_, middle, _typed(given, found[k]), strict=True)]
            if open_.any():
                written[f"{name}_{suffix}"] = [a if o else None for o, a in zip(open_, spread, strict=True)]
        return written


def _typed(given: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Values of a file as those that were decoded: whole numbers are such."""
    if len(like) and all(isinstance(each, int) for each in like):
        whole = [int(each) if isinstance(each, float) and each == each else each for each in given]
        return np.array(whole, dtype=object)
    return given


def _summarize(draws: np.ndarray, is_category: bool) -> tuple[Any, Any, str]:
    """Of draws ``[n, m]``: the most frequent value of a category and its share, means and deviations of numbers."""
    if is_category:
        most = [Counter(row.tolist()).most_common(1)[0] for row in draws]
        return [value for value, _ in most], rounded(np.array([n / draws.shape[1] for _, n in most])), "share"
    numbers = draws.astype(np.float64)
    return rounded(numbers.mean(1)), rounded(numbers.std(1, ddof=1)), "std"
