"""A trained run as an object for notebooks.

>>> run = load_run("outputs/digits/2026-11-23_12-00-00")  # doctest: +SKIP
>>> run.draw(16).x.shape, run.directory.metrics()[-1]["train/loss"]  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ebm_exp.config.build import Parts
from ebm_exp.config.device import choose_device, keep_precision
from ebm_exp.config.errors import UNFIT, UserError, unfit
from ebm_exp.config.no_run import refuse_no_run
from ebm_exp.config.run_config import read_run_config
from ebm_exp.config.trust import ANY, OURS, Allowed, allowed_by
from ebm_exp.dataset.names import find_classes
from ebm_exp.energy import Energy
from ebm_exp.random import Stream
from ebm_exp.run.checkpoint import read_state
from ebm_exp.run.directory import RunDirectory
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling import Sampling
from ebm_exp.types import Name, PerSample, Points

BLOCK = 4096  # points whose energies are computed at once


class LoadedRun:
    """A trained run: its parts, with trained weights.

    Args:
        path: the run directory.
        config: the run's resolved config, possibly with replaced parts.
        weights: ``ema`` (averaged) or ``online``.
        checkpoint: ``latest``, ``best``, ``diverged`` (the step that showed it) or a step that was kept.
        allowed: what of the config may be built.
        trained_by: the config as the run has it; null: ``config``.
        needs_data: refuse a run whose data set is not there; else its shape and labels are known without.
        key: the command-line key that gave the directory, for messages.
        given: parts that exist already, by name.

    Attributes:
        directory: its files.
        energy: the trained energy, in evaluation mode.
        step: how many optimizer steps made it.
        temperature: T of the density exp(−E/T)/Z that was trained.
        parts: everything else by name, e.g. ``parts["dataset"]``.
    """

    def __init__(
        self,
        path: str | Path,
        config: dict[str, Any],
        weights: Literal["ema", "online"] = "ema",
        checkpoint: Literal["latest", "best", "diverged"] | int = "latest",
        allowed: Allowed = OURS,
        trained_by: Mapping[str, Any] | None = None,
        needs_data: bool = False,
        key: str = "run",
        **given: Any,
    ) -> None:
        self.directory = RunDirectory(path)
        state, summary = read_state(self.directory, checkpoint, key), self.directory.summary()
        self.config = config = keep_precision(config, summary)
        averaged = {name: state["ema"][name] for name in ("energy", "objective")} if weights == "ema" else {}
        kept = state["parts"] | averaged
        if trained_by is not None and trained_by.get("sampler") != config["sampler"]:
            kept.pop("sampler", None)  # one that is chosen now has learned nothing; all else must fit what it became
        self.temperature: float = summary.get("temperature", 1.0)
        absent = None if needs_data else summary.get("data")
        self.parts = Parts(config, state=kept, absent=absent, allowed=allowed, temperature=self.temperature, **given)
        self.energy: Energy = self.parts["energy"].eval().requires_grad_(False)
        self.step: int = state["step"]

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return self.directory.metrics()

    def buffer(self, n: int) -> Points | None:
        """n negatives of training ``[n, *event]`` and their labels, spread over the buffer; None for a run without."""
        panels = self.parts["objective"].panels(n)
        return panels.get("buffer")

    def draw(
        self,
        n: int,
        seed: int = 0,
        *,
        watch: Watch | None = None,
        label: Name | Sequence[Name] = None,
        energy: Energy | None = None,
        sampling: Sampling | None = None,
        **more: Tensor,
    ) -> Points:
        """n fresh samples ``[n, *event]`` as the run's ``sampling`` says; the same seed gives the same samples.

        Args:
            n: number of samples.
            seed: names them.
            watch: see ``Sampling.draw``.
            label: the class to draw, by name or number, for an energy of classes; several are taken in turn.
            energy: a target made of the run's energy; null: the run's energy itself.
            sampling: null: the run's own.
            more: ``start`` and context, see ``Sampling.draw``.

        Raises:
            UserError: when the energy knows no classes or not this one.
        """
        sampling, y = sampling or self.parts["sampling"], None
        if label is not None:
            knows = "y" in (*self.energy.context, *self.energy.optional)
            try:
                asked = find_classes("label", label, self.parts["dataset"].class_names) if knows else [0]
            except ValueError as error:
                raise UserError(str(error)) from None
            y = torch.tensor(asked, device=self.parts["device"]).repeat(-(-n // len(asked)))[:n]
        try:
            return sampling.draw(energy or self.energy, n, Stream(seed), y=y, watch=watch, **more)
        except ValueError as error:
            raise UserError(str(error)) from error

    @torch.no_grad()
    def energies(self, samples: Points) -> PerSample:
        """E of samples ``[n]`` under their own labels."""
        blocks = [slice(i, i + BLOCK) for i in range(0, len(samples.x), BLOCK)]
        y = samples.y
        return torch.cat([self.energy.density(y=None if y is None else y[b])(samples.x[b]) for b in blocks])


def load_run(
    path: str | Path, trust: bool = False, device: str = "auto", key: str = "run", **choices: Any
) -> LoadedRun:
    """A trained run by its directory; see ``LoadedRun`` for the choices (weights, checkpoint).

    Raises:
        UserError: when it is no run, has no checkpoint, or its config names what it may not (see ``config/trust.py``).
    """
    from ebm_exp.config.validate import validate

    path = Path(path).expanduser()
    allowed = ANY if trust else allowed_by(path, key=key)
    config = read_run_config(path, trust, key).values | {"device": str(choose_device(device))}
    return LoadedRun(path, validate(config, allowed, config), allowed=allowed, key=key, **choices)


def load_initial_weights(energy: nn.Module, run: str) -> None:
    """Start a new run from the averaged weights of another (``init_from=``).

    Raises:
        UserError: when there is no checkpoint or it does not fit.
    """
    directory = RunDirectory(run)
    if not directory.checkpoint_steps():
        refuse_no_run(run, "init_from")
    averaged: Mapping[str, Any] = read_state(directory, key="init_from")["ema"]["energy"]
    try:
        energy.load_state_dict(averaged)
    except UNFIT as error:
        raise UserError(
            f"init_from: the weights of {run} do not fit this energy; give the energy and data set of that run "
            f"({unfit(error)})"
        ) from None
