"""A trained run as an object for notebooks.

>>> run = load_run("outputs/digits/2026-11-23_12-00-00")  # doctest: +SKIP
>>> run.draw(16).x.shape, run.metrics()[-1]["train/loss"]  # doctest: +SKIP

Points go in as arrays or tensors, and what is asked of them comes back as the same (``handed.py``). It all works within
``torch.no_grad`` and ``torch.inference_mode`` too.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor

from ebm_exp.config.build import Parts
from ebm_exp.config.device import keep_precision
from ebm_exp.config.errors import UserError
from ebm_exp.config.trust import OURS, Allowed
from ebm_exp.dataset.names import find_classes
from ebm_exp.energy import Energy
from ebm_exp.energy.base import energy_gradient
from ebm_exp.evaluator import Score
from ebm_exp.random import Stream
from ebm_exp.run.checkpoint import choose_weights, read_state, without_replaced
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.handed import DirectCalls, encode, give_back, in_blocks, take
from ebm_exp.run.likelihood import find_log_z, levels_of, log_density, read_log_z
from ebm_exp.run.shown import as_html, describe
from ebm_exp.sampler.chain import Watch
from ebm_exp.sampling import Sampling
from ebm_exp.types import Name, Points


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
        weights: which they are.
        step: how many optimizer steps made it.
        temperature: T of the density exp(−E/T)/Z that was trained.
        parts: everything else by name, e.g. ``parts["dataset"]``.
    """

    @torch.inference_mode(False)
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
        self.weights = weights
        kept = without_replaced(choose_weights(state, weights), trained_by or config, config)
        self.temperature: float = summary.get("temperature", 1.0)
        absent = None if needs_data else summary.get("data")
        self.parts = Parts(config, state=kept, absent=absent, allowed=allowed, temperature=self.temperature, **given)
        self.energy: Energy = self.parts["energy"].eval().requires_grad_(False)
        self.step: int = state["step"]
        self.watch = DirectCalls(self.parts["dataset"].domain)
        self.energy.register_forward_pre_hook(self.watch)
        self._log_z: Score | None = None

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

    @overload
    def draw(self, n: int, seed: int = 0, *, raw: Literal[False] = False, **how: Any) -> Points: ...

    @overload
    def draw(self, n: int, seed: int = 0, *, raw: Literal[True], **how: Any) -> Any: ...

    @torch.inference_mode(False)
    def draw(
        self,
        n: int,
        seed: int = 0,
        *,
        raw: bool = False,
        watch: Watch | None = None,
        label: Name | Sequence[Name] = None,
        energy: Energy | None = None,
        sampling: Sampling | None = None,
        **more: Tensor,
    ) -> Any:
        """n fresh samples ``[n, *event]`` as the run's ``sampling`` says; the same seed gives the same samples.

        Args:
            n: number of samples.
            seed: names them.
            raw: give them in the data's own units, see ``decode``, without labels.
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
            points = sampling.draw(energy or self.energy, n, Stream(seed), y=y, watch=watch, **more)
        except ValueError as error:
            raise UserError(str(error)) from error
        return self.parts["dataset"].units.decode(points.x) if raw else points

    @torch.inference_mode(False)
    def encode(self, raw: Any) -> Any:
        """Points ``[n, *event]`` of what is in the data's own units: images of levels, rows of a table.

        A tensor gives a tensor, all else an array.

        Raises:
            UserError: naming the shape, type, column or value that the data have not.
        """
        return give_back(raw)(encode(self, raw))

    @torch.inference_mode(False)
    def decode(self, x: Any) -> Any:
        """Points ``[n, *event]``, of numpy or torch, in the data's own units.

        Images are uint8 levels ``[n, H, W]`` or ``[n, H, W, C]``, rows of a table a polars DataFrame with its names and
        types, other points float32.
        """
        return self.parts["dataset"].units.decode(take(self, x, anywhere=True).x.cpu())

    @torch.inference_mode(False)
    @torch.no_grad()
    def energies(self, x: Any, y: Any = None, *, raw: bool = False) -> Any:
        """E ``[n]`` of points ``[n, *event]``: an array for an array, a tensor for a tensor.

        Args:
            x: of numpy or torch, float; or what ``draw`` gave, with its labels.
            y: for an energy that knows classes, their labels, by name or number, one or one for each.
            raw: x is in the data's own units.

        Raises:
            UserError: naming the shape, type or class that the run does not have.
        """
        handed = take(self, x, y, raw)
        return handed.back(in_blocks(self.energy, handed, lambda energy, block: energy(block)))

    @torch.inference_mode(False)
    def score(self, x: Any, y: Any = None) -> Any:
        """−∇E(x)/T ``[n, *event]``, the gradient of log p, at points; see ``energies``.

        Raises:
            UserError: also when T is 0.
        """
        if self.temperature <= 0:
            raise UserError("score: T is 0 here, chains without noise: there is no density")
        handed = take(self, x, y)
        gradient = in_blocks(self.energy, handed, lambda energy, block: energy_gradient(energy, block)[1].detach())
        return handed.back(-gradient / self.temperature)

    @torch.inference_mode(False)
    def log_prob(self, x: Any, y: Any = None, *, raw: bool = False) -> Any:
        """log p ``[n]`` = −E/T − log Z, in nats per point of the box; with ``raw`` in nats per point in own units.

        log Z is what ``known_log_z`` says. A run with a ``normaliser`` knows log p of data with the least noise, on all
        of space. See ``energies`` for x and y.

        Raises:
            UserError: also where log Z is not known.
        """
        if (log_z := self.known_log_z()) is None:
            raise UserError(
                "log_prob: log Z of this run is not known; run.log_z() finds it. Without it −run.energies(x) / "
                "run.temperature is log p but for a constant"
            )
        handed = take(self, x, y, raw, anywhere=levels_of(self) is not None)
        found = log_density(self, handed, log_z.value)
        return handed.back(found + self.parts["dataset"].units.log_scale(handed.x) if raw else found)

    def known_log_z(self) -> Score | None:
        """log Z of these weights as ``log_z`` found it, or the evaluators ``ais``, ``grid`` or ``density``, in training
        or by ``evaluate.py``; None: it is not known.
        """
        self._log_z = self._log_z or read_log_z(self)
        return self._log_z

    @torch.inference_mode(False)
    def log_z(self, seed: int = 0, **settings: Any) -> Score:
        """log Z of exp(−E/T) on the box, with its standard error and verdict; ``log_prob`` goes by it from then on.

        With a ``normaliser`` the constant of its noise levels, a matter of a moment. Else in the plane by quadrature,
        or by annealed importance sampling, a matter of a minute: a lower bound, and near it where the verdict says that
        chains are equilibrated.

        Args:
            seed: of the chains.
            settings: of the evaluator ``AIS``: ``n_chains``, ``n_betas``, ``n_equilibrate``; of ``Grid``: ``n``.

        Raises:
            UserError: where there is none: T is 0 or only effective, or the energy takes labels.
        """
        self._log_z = find_log_z(self, seed, **settings)
        return self._log_z

    def __repr__(self) -> str:
        said = describe(self)
        return f"LoadedRun({'; '.join([said.pop('run'), *said.values()])})"

    def _repr_html_(self) -> str:
        return as_html(self)
