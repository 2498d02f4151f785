"""What a run shows a person: the outline at its start, images and scores on the way, where to look at its end."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ebm_exp import __version__
from ebm_exp.config.arguments import command, override
from ebm_exp.energy.base import count_parameters
from ebm_exp.evaluator import Evaluator, Model, Score
from ebm_exp.logger.plots import density_panels, energy_histogram, sample_panels
from ebm_exp.objective.base import Loss
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.types import Points


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

    def draw_images(self, step: int, loss: Loss) -> dict[str, Path]:
        """Write the images of this step; returns their files by metric name."""
        ex = self.experiment
        files = {"samples/fresh": self.directory.image("step", step)}
        if ex.dataset.event_shape == (2,) and not self.energy.conditional:
            density = ex.engine.target(self.energy).energy.density()
            fresh = self.samples(1000).x
            density_panels(files["samples/fresh"], density, ex.dataset, fresh, ex.objective.temperature)
        else:
            n = self.image_samples
            panels = {"data": ex.dataset.train(n)} | {k: points.x for k, points in ex.objective.panels(n).items()}
            panels[f"fresh, {ex.sampling.describe()}"] = self.samples(n).x
            sample_panels(files["samples/fresh"], panels, ex.dataset.domain)
        if loss.energies:
            files["samples/energy"] = self.directory.image("energy", step)
            energy_histogram(files["samples/energy"], loss.energies, f"step {step:,}")
        return files

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
