"""What a run shows a person: the outline at its start, images and scores on the way, where to look at its end."""

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ebm_exp import __version__
from ebm_exp.energy.base import count_parameters, edges
from ebm_exp.evaluator import Evaluator, Model, Score
from ebm_exp.logger import Files, Logger, Picture, Table
from ebm_exp.logger.base import Value
from ebm_exp.metrics import BEST, DENSITY, ENERGIES, SAMPLES, SCORE, TABLE
from ebm_exp.objective.base import Loss
from ebm_exp.plots import density_panels, energy_histogram, histograms, pixels, sample_panels
from ebm_exp.run.about import origin
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import command, override
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.types import Points

_IN_TABLE, _THUMBNAIL = 16, 96  # samples; pixels of each


class Report:
    """Draws, evaluates and tells.

    Args:
        experiment: the parts.
        directory: where files go.
        energy: the energy that is shown, as a rule the averaged one.
        image_samples: points in each panel of an image.
    """

    def __init__(self, experiment: Experiment, directory: RunDirectory, energy: Any, image_samples: int) -> None:
        self.experiment, self.directory, self.energy = experiment, directory, energy
        self.image_samples = image_samples
        self._data_due = True
        self._bests: dict[str, float] | None = None
        self._of_starts: dict[str, Score] | None = None

    def facts(self) -> dict[str, Any]:
        """What the summary and W&B record of a run beside its config."""
        device = self.experiment.engine.device
        names = self.experiment.evaluators.items()
        return {
            "n_parameters": count_parameters(self.experiment.energy),
            "temperature": self.experiment.objective.temperature,
            "data": self.experiment.dataset.facts(),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu ({platform.machine()})",
            "precision": self.experiment.engine.precision,
            "protocol": {name: self._protocol(each) for name, each in names},
            "versions": {"python": platform.python_version()}
            | {"ebm-exp": __version__}
            | {name: version(name) for name in ("torch", "hydra-core", "omegaconf")},
        }

    def _protocol(self, evaluator: Evaluator) -> str:
        """What the numbers of an evaluator depend on."""
        return f"{evaluator.protocol}; averaged weights, {self.experiment.sampling.describe()}"

    def outline(self, facts: dict[str, Any], batch_size: int, step: int, max_steps: int) -> list[str]:
        """The experiment in a few lines, before it starts."""
        ex, data = self.experiment, self.experiment.dataset
        shape = "×".join(map(str, data.event_shape))
        lines = [
            f"run       {self.directory.path}",
            f"device    {facts['device']}, torch {facts['versions']['torch']}, {ex.engine.precision}",
            f"data      {data.name}: {data.n_train:,} train, {data.n_test:,} test, "
            f"{shape} in [{data.domain.low:g}, {data.domain.high:g}]",
            f"energy    {type(ex.energy).__name__}: {facts['n_parameters']:,} parameters",
            *(f"{title:<10}{text}" for title, text in ex.objective.describe().items()),
        ]
        lines += [
            f"samples   {ex.sampling.describe()}",
            *(f"evaluate  {name}: {text}" for name, text in facts["protocol"].items()),
            f"training  {type(ex.objective).__name__}, batch {batch_size}, {max_steps:,} steps",
        ]
        if ex.objective.of_gradient and (named := edges(ex.energy)):
            lines.append(
                f"warning   {', '.join(named)} is not smooth: a loss on ∇E gives biases no gradient; energy.activation"
            )
        ends_at = ex.schedule.ends_at
        if ends_at is not None and ends_at <= step < max_steps:
            lines.append(f"warning   the learning rate fell to 0 at step {ends_at:,}: nothing will change")
        return lines

    def samples(self, n: int) -> Points:
        """n fresh samples, the same seed each time: images of one run can be compared."""
        return self.experiment.sampling.draw(self.energy, n, self.experiment.stream)

    def evaluate(self) -> dict[str, Score]:
        """The scores of the energy now, by name; all evaluators see the same samples."""
        ex, evaluators = self.experiment, self.experiment.evaluators.values()
        n = max((each.n_samples for each in evaluators), default=0)
        model = Model(self.energy, ex.sampling, ex.stream, n)
        return {name: score for each in evaluators for name, score in each(model).items()}

    def of_starts(self) -> dict[str, Score]:
        """The scores of points where samples begin, unmoved; computed once."""
        if self._of_starts is None:
            ex, evaluators = self.experiment, self.experiment.evaluators.values()
            judges = [each for each in evaluators if each.n_samples]
            n = max((each.n_samples for each in judges), default=0)
            begin = ex.sampling.begins(self.energy, n, ex.stream) if judges else None
            self._of_starts = {}
            if begin is not None:
                model = Model.of(self.energy, begin)
                self._of_starts = {name: score for each in judges for name, score in each(model).items()}
        return self._of_starts

    def draw(self, step: int, loss: Loss, last: bool) -> dict[str, Value]:
        """Write the images of this step; returns what loggers show of them, by metric name.

        Args:
            step: so many are done.
            loss: of the last.
            last: whether a table of single samples is to be shown too.
        """
        ex, n, file = self.experiment, self.image_samples, self.directory.image("step", step)
        at, length = f"step {step:,}, T {ex.objective.temperature:.3g}", f"K {ex.sampling.n_steps:,}"
        panels = {title: points.x for title, points in ex.objective.panels(n).items()}
        values: dict[str, Value] = {}
        has_density = ex.objective.temperature > 0 and not self.energy.conditional
        if ex.dataset.event_shape == (2,) and has_density:
            fresh = self.samples(1000)
            density = ex.engine.target(self.energy).energy.density()
            density_panels(file, density, ex.dataset, fresh.x, ex.objective.temperature)
            values[DENSITY] = Picture(file, f"{at}, {length}")
        else:
            fresh = self.samples(n)
            shown = {"data": ex.dataset.train(n)} | panels | {f"fresh, {ex.sampling.describe()}": fresh.x}
            sample_panels(file, shown, ex.dataset.domain)
        captions = {"fresh": f"{at}, {length} ({ex.sampling.describe()})"}
        if self._data_due:  # it never changes
            self._data_due, panels["data"], captions["data"] = False, ex.dataset.train(n), ex.dataset.name
        chain = ex.objective.describe().get("chain", at)
        for title, x in (panels | {"fresh": fresh.x}).items():
            caption = captions.get(title, f"step {step:,}, {chain}")
            values[SAMPLES(title)] = Picture(pixels(x, ex.dataset.domain), caption)
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
        domain, rows = self.experiment.dataset.domain, []
        for i in sorted(range(len(x)), key=lambda i: energies[i]):
            label = () if y is None else (int(y[i]),)
            image = len(domain.event_shape) == 3
            values = [round(v, 3) for v in x[i].flatten().tolist()] if not image else []
            shown = Picture(pixels(x[i : i + 1], domain, _THUMBNAIL)) if image else str(values)
            rows.append((shown, energies[i], *label))
        return Table(("sample", "energy", *(() if y is None else ("label",))), rows)

    def bests(self, scores: Mapping[str, Score]) -> dict[str, float]:
        """The best value so far of each score that has a direction, earlier sessions' included: ``best/<name>``."""
        rows = self.directory.metrics() if self._bests is None else []
        self._bests = self._bests or {}
        for name, score in scores.items():
            if score.better is None:
                continue
            seen = [row.get(SCORE(name)) for row in rows] + [self._bests.get(BEST(name)), score.value]
            finite = [value for value in seen if isinstance(value, int | float) and math.isfinite(value)]
            if finite:
                self._bests[BEST(name)] = min(finite) if score.better == "lower" else max(finite)
        return self._bests

    def close(self, logger: Logger, summary: Mapping[str, Any]) -> None:
        """Tell the logger how the run ended, and leave its best and last checkpoint with it.

        Args:
            logger: is closed.
            summary: what summary.json says now.
        """
        told = {key: summary[key] for key in ("state", "reason", "failed_step", "failed_metric") if summary.get(key)}
        best, failed = summary["best"] or {}, summary["state"] in ("failed", "diverged")
        logger.summary(told | {BEST(key): value for key, value in best.items()})
        if failed:
            logger.alert(f"{self.directory.path} {summary['state']}", summary["reason"])
        if logger.keeps and summary["state"] != "stopped":  # that one goes on: its last checkpoint is to come
            steps = self.directory.checkpoint_steps()
            for step in dict.fromkeys(s for s in (best.get("step"), *steps[-1:]) if s in steps):
                is_best, is_last = step == best.get("step"), step == steps[-1]
                scored = {key: best[key] for key in ("metric", "value") if is_best}
                aliases = ("best",) * is_best + ("last",) * is_last
                file, came = self.directory.checkpoint(step), origin(self.directory, step) | scored
                logger.keep(Files("checkpoint", "model", (file,), came, aliases))
        logger.finish(int(failed))

    def tell_where(
        self, state: str, step: int, max_steps: int, seconds: float, best: dict[str, Any] | None, hints: list[str]
    ) -> None:
        """Where to look at what a run left, and how to go on from it."""
        run_dir, ends_at = self.directory.path, self.experiment.schedule.ends_at
        here = run_dir.relative_to(Path.cwd()) if run_dir.is_relative_to(Path.cwd()) else run_dir
        print(f"\n{state} at step {step:,} after {seconds:.0f} s")
        for label, at in (({"best image": best["step"]} if best else {}) | {"last image": step}).items():
            if self.directory.image("step", at).is_file():
                print(f"{label}     {here / 'samples' / self.directory.image('step', at).name}")
        if best:
            print(f"best {best['metric']}  {best['value']:.4g} at step {best['step']:,}")
        print(f"run directory  {here}")
        print(f"draw samples   {command('sample')} {override('run', here)}")
        resume = override("resume", here)
        if state in ("stopped", "pruned"):
            print(f"go on          {command('train')} {resume}")
        elif step < max_steps:  # the clock ended it
            print(f"go on          {command('train')} {resume} trainer.max_minutes={2 * seconds / 60:.3g}")
        elif ends_at is None or step < ends_at:
            print(f"go on          {command('train')} {resume} trainer.max_steps={2 * step}")
        else:  # the learning rate has decayed to 0: going on would change nothing
            print(f"train more     {command('train')} {override('init_from', here)}")
        for line in hints:
            print(f"dashboard      {line}")
