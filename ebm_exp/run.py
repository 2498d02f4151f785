"""One run directory: what is in it, and a trained run as an object for notebooks.

>>> run = load_run("outputs/digits/2026-11-23_12-00-00")  # doctest: +SKIP
>>> run.draw(16).x.shape, run.metrics()[-1]["train/loss"]  # doctest: +SKIP
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ebm_exp.config.build import Parts, choose_device
from ebm_exp.config.errors import UserError
from ebm_exp.config.trust import read_run_config
from ebm_exp.energy import Energy
from ebm_exp.energy.base import context_of
from ebm_exp.sampler import Samples
from ebm_exp.sampler.fresh import Watch
from ebm_exp.trainer.checkpoint import latest, load, step_path
from ebm_exp.trainer.ema import EMA
from ebm_exp.types import Minibatch, PerSample

BLOCK = 4096  # points whose energies are computed at once


class Run:
    """The files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.metrics_file = self.path / "metrics.jsonl"
        self.summary_file = self.path / "summary.json"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"

    def create(self) -> None:
        """Claim the directory for a new run.

        Raises:
            UserError: when a run is there already.
        """
        self.samples.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(exist_ok=True)
        try:
            self.summary_file.open("x").close()
        except FileExistsError:
            raise UserError(f"hydra.run.dir: {self.path} holds a run already; go on with resume={self.path}") from None

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace summary.json as a whole, so that a reader never meets half of one."""
        temporary = self.summary_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(summary, indent=2, default=str) + "\n", encoding="utf-8")
        os.replace(temporary, self.summary_file)

    def summary(self) -> dict[str, Any]:
        """summary.json, empty while a run has not begun to write it."""
        text = self.summary_file.read_text(encoding="utf-8") if self.summary_file.is_file() else ""
        return json.loads(text) if text else {}

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, one per logged step."""
        return [json.loads(line) for line in self.metrics_file.read_text(encoding="utf-8").splitlines()]

    def state(self, which: Literal["latest", "best"] | int = "latest", key: str = "run") -> dict[str, Any]:
        """A checkpoint's content, on the CPU; a number is its step.

        Raises:
            UserError: when there is none.
        """
        path = latest(self.checkpoints)
        if which == "best":
            best = self.summary().get("best")
            path = step_path(self.checkpoints, best["step"]) if best else None
        elif which != "latest":
            path = step_path(self.checkpoints, which)
        if path is None or not path.is_file():
            raise UserError(f"{key}: {self.path} has no {which} checkpoint")
        try:
            return load(path)
        except ValueError as error:
            raise UserError(f"{key}: {error}") from None


class LoadedRun(Run):
    """A trained run: its parts, its energy with trained weights, its negatives.

    Args:
        path: the run directory.
        config: the run's resolved config, possibly with replaced parts.
        weights: ``ema`` (averaged) or ``online``.
        checkpoint: ``latest``, ``best`` or a step that was kept.

    Attributes:
        energy: the trained energy, in evaluation mode.
        step: how many optimizer steps made it.
        parts: everything else by name, e.g. ``parts["dataset"]``.
    """

    def __init__(
        self,
        path: str | Path,
        config: dict[str, Any],
        weights: Literal["ema", "online"] = "ema",
        checkpoint: Literal["latest", "best"] | int = "latest",
    ) -> None:
        super().__init__(path)
        self.config = config
        state = self.state(checkpoint)
        self.parts = Parts(config)
        self.energy: Energy = load_weights(self.parts["energy"], state, weights).eval().requires_grad_(False)
        self.step: int = state["step"]
        if config["sampler"] == self._trained_sampler():  # and not one chosen now: with what it learned in training
            self.parts["sampler"].load_state_dict(state["sampler"])
        self._buffer_state = state["buffer"]

    def _trained_sampler(self) -> Any:
        from omegaconf import OmegaConf

        saved = OmegaConf.create(read_run_config(self.path, bool(self.config.get("trust"))))
        return OmegaConf.to_container(saved, resolve=True)["sampler"]  # type: ignore[index,call-overload]

    def buffer(self, n: int) -> Minibatch | None:
        """n negatives of training ``[n, *event]`` and their labels, spread over the buffer; None for a run without."""
        if self._buffer_state is None:
            return None
        self.parts["buffer"].load_state_dict(self._buffer_state)
        return self.parts["buffer"].recent(n)

    def draw(
        self,
        n: int,
        seed: int = 0,
        watch: Watch | None = None,
        label: int | Sequence[int] | None = None,
        energy: Energy | None = None,
        **more: Tensor | None,
    ) -> Samples:
        """n fresh chains ``[n, *event]`` as the run's ``sampling`` says; the same seed gives the same chains.

        Args:
            n: number of chains.
            seed: names the chains.
            watch: see ``FreshChains.draw``.
            label: the class to draw, for a class-conditional energy; several are taken in turn.
            energy: a target made of the run's energy; null: the run's energy itself.
            more: ``start`` and context, see ``FreshChains.draw``.

        Raises:
            UserError: when the energy knows no classes or not this one, or a buffer has too few points to start from.
        """
        sampling, y = self.parts["sampling"], None
        if label is not None:
            asked, n_classes = [label] if isinstance(label, int) else list(label), self.parts["n_classes"]
            if "y" in self.energy.context and not (asked and all(0 <= k < n_classes for k in asked)):
                raise UserError(f"label: must be classes from 0 to {n_classes - 1}, got {label}")
            y = torch.tensor(asked, device=self.parts["device"]).repeat(-(-n // len(asked)))[:n]
        buffer = self.buffer(n) if sampling.init == "buffer" else None
        try:
            return sampling.draw(energy or self.energy, n, seed, buffer, watch, y, **more)
        except ValueError as error:
            raise UserError(str(error)) from error

    def log_drawing(self, folder: Path, metrics: Mapping[str, float], images: Mapping[str, Path]) -> list[str]:
        """Log what was drawn to W&B as a run of type ``sample`` in this run's group; returns where to look.

        Args:
            folder: where the files are.
            metrics: numbers by name, logged as ``samples/<name>``.
            images: files by name, likewise.
        """
        logger, name = self.parts["logger"], "/".join(self.path.resolve().parts[-2:])
        group = self.summary().get("group")
        logger.start(self.config, None, f"{name} {folder.name}", group, folder, job_type="sample")
        logger.log({f"samples/{key}": value for key, value in metrics.items()}, self.step)
        logger.log_images({f"samples/{key}": path for key, path in images.items()}, self.step)
        logger.finish(0)
        return logger.hint()

    @torch.no_grad()
    def energies(self, samples: Samples) -> PerSample:
        """E of samples ``[n]`` under their own labels."""
        blocks = [slice(i, i + BLOCK) for i in range(0, len(samples.x), BLOCK)]
        y = samples.y
        return torch.cat(
            [self.energy(samples.x[b], **context_of(self.energy, y=None if y is None else y[b])) for b in blocks]
        )


def load_run(path: str | Path, trust: bool = False, device: str = "auto", **choices: Any) -> LoadedRun:
    """A trained run by its directory; see ``LoadedRun`` for the choices (weights, checkpoint).

    Raises:
        UserError: when it is no run, has no checkpoint, or its config names what it may not (see ``config/trust.py``).
    """
    from omegaconf import OmegaConf

    from ebm_exp.config.validate import validate

    saved = OmegaConf.create(read_run_config(path, trust))
    config = OmegaConf.to_container(saved, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    named = {str(key): value for key, value in config.items()} | {"device": str(choose_device(device))}
    validate(named)
    return LoadedRun(path, named, **choices)


def load_weights(energy: nn.Module, state: Mapping[str, Any], weights: str, path: str = "run") -> Any:
    """Fill an energy with the weights of a checkpoint.

    Raises:
        UserError: when they do not fit the energy.
    """
    try:
        if weights == "online":
            energy.load_state_dict(state["energy"])
            return energy
        ema = EMA(energy, rate=1.0)
        ema.load_state_dict(state["ema"])
        return ema.energy
    except RuntimeError as error:
        detail = str(error).splitlines()
        raise UserError(
            f"{path}: the weights do not fit this energy: {detail[min(1, len(detail) - 1)].strip()}"
        ) from None


def initial_weights(energy: nn.Module, run: str) -> None:
    """Start a new run from the averaged weights of another (``init_from=``).

    Raises:
        UserError: when there is no checkpoint or it does not fit.
    """
    if not Path(run).is_dir():
        raise UserError(f"init_from: {run} is not a run directory")
    state = Run(run).state(key="init_from")
    energy.load_state_dict(load_weights(energy, state, "ema", "init_from").state_dict())
