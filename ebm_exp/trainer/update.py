"""One optimizer step of an experiment."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from ebm_exp.guard.meter import Meter
from ebm_exp.metrics import LOSS, TERM, TRAIN_GRAD_NORM
from ebm_exp.objective.base import Loss
from ebm_exp.random import generator, seed_global
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment


class Update:
    """A function of the step's number and the state of the parts; no host synchronisation.

    Args:
        experiment: the parts.
        ema: the average that follows.
        meter: takes in the metrics.
        batch_size: training points per step.
        accumulate_steps: the batch is taken in so many parts, whose gradients add up; each draws its own chains.
        n_batches: only the first so many batches, again and again; None: all.
        gradient_norm_clip: largest norm of the parameters' gradient.
    """

    def __init__(
        self,
        experiment: Experiment,
        ema: EMA,
        meter: Meter,
        batch_size: int,
        accumulate_steps: int = 1,
        n_batches: int | None = None,
        gradient_norm_clip: float = float("inf"),
    ) -> None:
        self.experiment, self.ema, self.meter = experiment, ema, meter
        self.batch_size, self.accumulate_steps, self.n_batches = batch_size, accumulate_steps, n_batches
        self.gradient_norm_clip = gradient_norm_clip
        self.params = [p for group in experiment.optimizer.param_groups for p in group["params"]]
        modules = [*experiment.energy.modules(), *experiment.objective.modules()]
        drops = any(isinstance(module, _DropoutNd) and module.p for module in modules)
        self.repeats = experiment.objective.pure and accumulate_steps == 1 and not drops
        self.changes = [buffer for module in modules for buffer in module.buffers(recurse=False)]

    def __call__(self, step: int) -> Loss:
        """Take optimizer step ``step`` (from 0); returns the loss of its last part."""
        ex, device = self.experiment, self.experiment.engine.device
        factor = ex.schedule(step)
        for group in ex.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        index = step if self.n_batches is None else step % self.n_batches
        batch = ex.dataset.batch(index, self.batch_size, ex.stream.seed, ex.stream.rank, ex.data_augmentation)
        ex.optimizer.zero_grad(set_to_none=True)
        size = self.batch_size // self.accumulate_steps
        ex.energy.train()
        ex.objective.train()
        for i in range(self.accumulate_steps):
            noise = ex.stream.at_step(device, step)
            if i:
                noise = generator(device, "part", noise.initial_seed(), i)
            rows = slice(i * size, (i + 1) * size)
            part = batch._replace(x=batch.x[rows], y=None if batch.y is None else batch.y[rows])
            # Dropout reads torch's global generators: it too shall draw the same numbers when a run is repeated.
            with seed_global("dropout", noise.initial_seed(), device=device):
                with ex.engine.autocast():
                    given, kept = ex.objective.gather(ex.energy, part, step, noise)
                if self.repeats:
                    loss, total, gradients = ex.engine.repeat(self._anew, given, noise, self.changes)
                    for p, gradient in zip(self.params, gradients, strict=True):
                        p.grad = gradient
                else:
                    loss, total = self._backward(given, noise)
                with ex.engine.autocast():
                    loss = ex.objective.settle(kept, loss)
            means = {TERM(name): term.mean() for name, term in loss.terms.items()}
            self.meter.add(step + 1, {LOSS: total} | means | loss.metrics)
        if ex.guard.due(step + 1):
            with torch.no_grad():
                ex.guard.look(step + 1, ex.objective.signals(loss))
        norm = torch.nn.utils.clip_grad_norm_(self.params, self.gradient_norm_clip)
        self.meter.add(step + 1, {TRAIN_GRAD_NORM: norm})
        ex.optimizer.step()
        self.ema.update()
        return loss

    def _backward(self, given: Any, noise: torch.Generator) -> tuple[Loss, Tensor]:
        """Add to the gradients; the loss and its total, without a graph."""
        ex = self.experiment
        with ex.engine.autocast():
            loss = ex.objective.loss(ex.energy, given, noise)
            total = loss.total()
        (total / self.accumulate_steps).backward()
        return loss._replace(terms={name: term.detach() for name, term in loss.terms.items()}), total.detach()

    def _anew(self, given: Any, noise: torch.Generator) -> tuple[Loss, Tensor, list[Tensor | None]]:
        """The same with the gradients, which begin at nothing: a function of weights, inputs and noise."""
        for p in self.params:
            p.grad = None
        loss, total = self._backward(given, noise)
        return loss, total, [p.grad for p in self.params]
