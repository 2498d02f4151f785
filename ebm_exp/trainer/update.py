"""One optimizer step of an experiment."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from ebm_exp.engine.base import Work
from ebm_exp.guard.meter import Meter
from ebm_exp.metrics import LOSS, TERM, TRAIN_GRAD_NORM
from ebm_exp.objective.base import Loss
from ebm_exp.random import for_batch, generator, seed_global
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.together import Together
from ebm_exp.types import Points

Gather = Callable[[], tuple[Any, Any]]
Unless = Callable[[Gather], tuple[Any, Any] | None]


def _always(gather: Gather) -> tuple[Any, Any]:
    return gather()


class Update:
    """A function of the step's number and the state of the parts; no host synchronisation.

    Args:
        experiment: the parts.
        ema: the average that follows.
        meter: takes in the metrics.
        accumulate_steps: the batch is taken in so many parts, whose gradients add up; each draws its own chains.
        gradient_norm_clip: largest norm of the parameters' gradient; None: no clip.
    """

    def __init__(
        self,
        experiment: Experiment,
        ema: EMA,
        meter: Meter,
        accumulate_steps: int = 1,
        gradient_norm_clip: float | None = None,
    ) -> None:
        self.experiment = experiment
        self.ema = ema
        self.meter = meter
        self.accumulate_steps = accumulate_steps
        self.gradient_norm_clip = float("inf") if gradient_norm_clip is None else gradient_norm_clip
        self.ranks = experiment.ranks
        energy, objective = experiment.energy, experiment.objective
        modules = [*energy.modules(), *objective.modules()]
        drops = any(isinstance(module, _DropoutNd) and module.p for module in modules)
        self.work = Work(
            loss=lambda given, generator: objective.loss(energy, given, for_batch(generator, self.ranks)),
            params=[p for group in experiment.optimizer.param_groups for p in group["params"]],
            changes=[buffer for module in modules for buffer in module.buffers(recurse=False)],
            pure=objective.pure and not drops,  # dropout reads torch's global generators
        )
        self.together = Together(self.ranks, self.work.params)

    def __call__(self, step: int, unless: Unless = _always) -> Loss | None:
        """Take optimizer step ``step`` (from 0); returns the loss of its last part.

        Args:
            step: so many were taken before.
            unless: calls what gathers for the loss, before the step has changed anything. Where it returns None
                instead, the step is left, and so does this.
        """
        ex, params = self.experiment, self.work.params
        self.set_rates(step)
        batch = ex.batch(step, self.accumulate_steps)
        ex.energy.train()
        ex.objective.train()
        gradients: list[Tensor | None] = []
        told: list[dict[str, Tensor]] = []
        for i in range(self.accumulate_steps):
            part = self._differentiate(batch, step, i, _always if i else unless)
            if part is None:
                return None
            loss, more, metrics = part
            told.append(metrics)
            gradients = [_add(sum_, each) for sum_, each in zip(gradients, more, strict=True)] if i else more
        with torch.no_grad():
            told.append(ex.objective.signals(loss) if ex.guard.due(step + 1) else {})
        gradients, (*metrics_of_parts, signals) = self.together.average(gradients, told)
        for p, gradient in zip(params, gradients, strict=True):
            p.grad = gradient
        for metrics in metrics_of_parts:
            self.meter.add(step + 1, metrics)
        if ex.guard.due(step + 1):
            ex.guard.look(step + 1, signals)
        norm = torch.nn.utils.clip_grad_norm_(params, self.gradient_norm_clip)
        self.meter.add(step + 1, {TRAIN_GRAD_NORM: norm})
        ex.optimizer.step()
        self.ema.update()
        return loss

    def set_rates(self, step: int) -> None:
        """Give the optimizer the learning rates of a step."""
        factor = self.experiment.schedule(step)
        for group in self.experiment.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def _differentiate(
        self, batch: Points, step: int, i: int, unless: Unless
    ) -> tuple[Loss, list[Tensor | None], dict[str, Tensor]] | None:
        """The loss of part ``i`` of the batch, its share of the gradients, and its metrics; None where it is left."""
        ex, device = self.experiment, self.experiment.engine.device
        noise = ex.stream.at_step(device, step)
        if i:
            noise = generator(device, "part", noise.initial_seed(), i)
        own = noise  # for chains and dropout, which are a rank's own
        if not self.ranks.alone:
            own = generator(device, "rank", noise.initial_seed(), self.ranks.rank)
        size = len(batch.x) // self.accumulate_steps
        rows = slice(i * size, (i + 1) * size)
        part = Points(batch.x[rows], None if batch.y is None else batch.y[rows])
        # Dropout reads torch's global generators: it too shall draw the same numbers when a run is repeated.
        with seed_global("dropout", own.initial_seed(), device=device):
            with ex.engine.autocast():
                gathered = unless(partial(ex.objective.gather, ex.energy, part, step, own))
            if gathered is None:
                return None
            given, kept = gathered
            loss, total, gradients = ex.engine.differentiate(self.work, given, noise, self.accumulate_steps)
            with ex.engine.autocast():
                loss = ex.objective.settle(kept, loss)
        means = {TERM(name): term.mean() for name, term in loss.terms.items()}
        return loss, gradients, {LOSS: total} | means | loss.metrics


def _add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a.add_(b)
