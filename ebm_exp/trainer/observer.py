"""What is seen of a training on its way: samples, scores, images."""

import copy
import logging
import math
from collections.abc import Mapping
from typing import Any

import torch

from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.evaluator import Model, Score
from ebm_exp.guard.scores import Judged
from ebm_exp.logger import Picture, Table
from ebm_exp.logger.base import Value
from ebm_exp.metrics import BEST, DENSITY, ENERGIES, SAMPLES, SCORE, TABLE
from ebm_exp.objective.base import Loss
from ebm_exp.plane import density_panels
from ebm_exp.plots import energy_histogram, histograms, pixels, sample_panels
from ebm_exp.random import generator
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.types import Points

_LOG = logging.getLogger(__name__)
_IN_TABLE, _THUMBNAIL = 16, 96  # samples; pixels of each
_IN_PLANE, _ROWS = 1000, 500  # points of an image of such as are none


class Observer:
    """Draws and evaluates.

    Args:
        experiment: the parts.
        directory: where files go.
        energy: the energy that is shown, as a rule the averaged one.
        image_samples: points in each panel of an image.

    Attributes:
        awaited: no image is drawn yet.
    """

    def __init__(self, experiment: Experiment, directory: RunDirectory, energy: Any, image_samples: int) -> None:
        self.experiment = experiment
        self.directory = directory
        self.energy = energy
        self.image_samples = image_samples
        self.awaited = True
        self._data_due = True
        self._bests: dict[str, float] | None = None
        self._judged: dict[Judged, dict[str, Score]] = {}

    def samples(self, n: int, energy: Any = None) -> Points:
        """n fresh samples, the same seed each time: images of one run can be compared; None: of the energy shown."""
        return self.experiment.sampling.draw(self.energy if energy is None else energy, n, self.experiment.stream)

    def evaluate(self) -> dict[str, Score]:
        """The scores of the energy now, by name; all evaluators see the same samples."""
        ex, evaluators = self.experiment, self.experiment.evaluators.values()
        n = max((each.n_samples for each in evaluators), default=0)
        model = Model(self.energy, ex.sampling, ex.stream, n)
        return {name: score for each in evaluators for name, score in each(model).items()}

    def score_points(self, which: Judged) -> dict[str, Score]:
        """The distances from the data of other points in place of samples; computed once."""
        if which not in self._judged:
            ex = self.experiment
            judges = [
                each for each in ex.evaluators.values() if any(kind.is_distance for kind in each.gives().values())
            ]
            n = max((each.n_samples for each in judges), default=0)
            points = self._points(which, n) if n else None
            self._judged[which] = {}
            if points is not None:
                model = Model.of(self.energy, points)
                self._judged[which] = {name: score for each in judges for name, score in each(model).items()}
        return self._judged[which]

    def _points(self, which: Judged, n: int) -> Points | None:
        """n points, or as many as there are; None: samples begin nowhere."""
        ex, dataset = self.experiment, self.experiment.dataset
        if which == "starts":
            return ex.sampling.begins(self.energy, n, ex.stream)
        y = None if dataset.test_labels is None else dataset.test_labels[:n]
        if which == "data":
            return Points(dataset.test(n), y)
        g = generator(dataset.device, "judge", "noise")
        return Points(dataset.domain.uniform(n, g, dataset.device), None if y is None else dataset.random_labels(n, g))

    def draw(self, step: int, loss: Loss, last: bool, early: bool = False) -> dict[str, Value]:
        """Write the images of this step; returns what loggers show of them, by metric name.

        Args:
            step: so many are done.
            loss: of the last.
            last: whether a table of single samples is to be shown too.
            early: show the weights as they are: an average of them still holds those that knew nothing.
        """
        is_first, self.awaited = self.awaited, False
        ex, file, units = self.experiment, self.directory.image("step", step), self.experiment.dataset.units
        at, length = f"step {step:,}, T {ex.objective.temperature:.3g}", f"K {ex.sampling.n_steps:,}"
        how = "weights as they are" if early else ex.sampling.describe()
        values: dict[str, Value] = {}
        has_density = ex.objective.temperature > 0 and not self.energy.conditional
        on_plane = ex.dataset.event_shape == (2,) and has_density
        is_image = len(ex.dataset.event_shape) == 3
        n = self.image_samples if is_image else max(self.image_samples, _IN_PLANE if on_plane else _ROWS)
        panels = {title: points.x for title, points in ex.objective.panels(n).items()}
        energy = copy.deepcopy(ex.energy).eval().requires_grad_(False) if early else self.energy
        fresh = self.samples(n, energy)  # by all ranks
        if not ex.ranks.first:
            return {}
        if on_plane:
            density = ex.engine.target(energy).energy.density()
            density_panels(file, density, ex.dataset, fresh.x, ex.objective.temperature)
            values[DENSITY] = Picture(file, f"{at}, {length}")
        else:
            shown = {"data": ex.dataset.train(n)} | panels | {f"fresh, {how}": fresh.x}
            sample_panels(file, shown, units)
        if is_first and not last:
            _LOG.info("an image of what is learned: %s", file)
        captions = {"fresh": f"{at}, {length} ({how})"}
        if not is_image and not on_plane:  # all are in one
            values[SAMPLES("fresh")] = Picture(file, captions["fresh"])
            panels = {}
        else:
            panels["fresh"] = fresh.x
        if self._data_due and panels:  # it never changes
            self._data_due = False
            panels["data"] = ex.dataset.train(n)
            captions["data"] = ex.dataset.name
        chain = ex.objective.describe().get("chain", at)
        for title, x in panels.items():
            caption = captions.get(title, f"step {step:,}, {chain}")
            values[SAMPLES(title)] = Picture(pixels(x, units), caption)
        if loss.energies:
            energy_histogram(self.directory.image("energy", step), loss.energies, f"step {step:,}")
            values |= {ENERGIES(name): h for name, h in histograms(loss.energies).items()}
        if last:
            values[TABLE] = self._table(fresh)
        return values

    @torch.no_grad()
    def _table(self, samples: Points) -> Table:
        """The first samples one by one, lowest energy first."""
        x, y = samples.x[:_IN_TABLE], None if samples.y is None else samples.y[:_IN_TABLE]
        energy = self.experiment.engine.target(self.energy).energy
        energies = energy.density(y=y)(x).tolist()
        dataset, names = self.experiment.dataset, ["sample"]
        if isinstance(dataset.units, TableUnits):
            frame = dataset.units.decode(x)
            names = [f"column {name}" if name in ("energy", "label") else name for name in frame.columns]
            shown = frame.rows()
        elif len(dataset.event_shape) == 3:
            shown = [(Picture(pixels(x[i : i + 1], dataset.units, _THUMBNAIL)),) for i in range(len(x))]
        else:
            shown = [(str([round(v, 3) for v in each.flatten().tolist()]),) for each in x]
        labels = [()] * len(x) if y is None else [(dataset.class_names[k],) for k in y.tolist()]
        order = sorted(range(len(x)), key=lambda i: energies[i])
        rows = [(*shown[i], energies[i], *labels[i]) for i in order]
        return Table((*names, "energy", *(() if y is None else ("label",))), rows)

    def bests(self, scores: Mapping[str, Score]) -> dict[str, float]:
        """The best value so far of each score that has a direction and holds: ``best/<name>``.

        Earlier sessions are included, but for scores with a verdict, which their rows do not tell.
        """
        rows = self.directory.metrics() if self._bests is None else []
        self._bests = self._bests or {}
        for name, score in scores.items():
            if score.better is None or score.refuted:
                continue
            before = [row.get(SCORE(name)) for row in rows] if score.verdict is None else []
            seen = [*before, self._bests.get(BEST(name)), score.value]
            finite = [value for value in seen if isinstance(value, int | float) and math.isfinite(value)]
            if finite:
                self._bests[BEST(name)] = min(finite) if score.better == "lower" else max(finite)
        return self._bests
