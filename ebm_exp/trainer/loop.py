"""The training loop: report → evaluate → checkpoint → stop? → step.

Every step is a function of the state and the step's number alone (batches and noise come from derived generators),
so a run that is killed and resumed walks the same path, bit for bit on the CPU.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from ebm_exp.dataset.base import Dataset
from ebm_exp.energy import Energy
from ebm_exp.evaluator import Evaluator
from ebm_exp.logger.console import Progress
from ebm_exp.logger.jsonl import Jsonl, truncate_after
from ebm_exp.logger.wandb_logger import WandbRun
from ebm_exp.objective import Objective, ObjectiveOutput
from ebm_exp.random import generator
from ebm_exp.run import Run
from ebm_exp.sampler.fresh import FreshChains
from ebm_exp.trainer import checkpoint, report
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.guard import Meter, NonFiniteError
from ebm_exp.trainer.profile import profiler
from ebm_exp.trainer.schedule import Decay, lr_factor
from ebm_exp.trainer.stop import StopRequest
from ebm_exp.types import NonNegativeInt, Positive, PositiveInt, Probability


class Trainer:
    """Trains an energy and leaves a run directory.

    Args:
        max_steps: optimizer steps in all, resumed ones included.
        max_minutes: stop after this much training time, resumed ones included; null: no limit.
        batch_size: training points, and chains, per step.
        precision: ``bf16`` runs energy and chain under autocast.
        lr_warmup_steps, lr_decay, lr_decay_steps, lr_decay_rate: see ``schedule.lr_factor``.
        gradient_norm_clip: largest norm of the parameters' gradient; null: no clip.
        ema_rate: share of the new weights in the average, per step; 1 follows the weights.
        log_every_steps, evaluate_every_steps, image_every_steps, checkpoint_every_steps: intervals.
        keep_checkpoints: the newest so many are kept, and the best.
        image_samples: points in each panel of an image.
        n_batches: train on the first so many batches again and again (``debug=overfit``); null: on all data.
        profile_steps: record so many steps with torch's profiler (``debug=profile``).
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        energy: Energy,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        sampling: FreshChains,
        evaluators: dict[str, Evaluator],
        logger: WandbRun,
        run_dir: Path,
        group: str | None,
        seed: int,
        device: torch.device,
        optimized_metric: str | None,
        max_steps: PositiveInt,
        batch_size: PositiveInt,
        max_minutes: Positive | None = None,
        precision: Literal["float32", "bf16"] = "float32",
        lr_warmup_steps: NonNegativeInt = 0,
        lr_decay: Decay = "none",
        lr_decay_steps: PositiveInt = 1,
        lr_decay_rate: Probability = 1.0,
        gradient_norm_clip: Positive | None = None,
        ema_rate: Probability = 0.002,
        log_every_steps: PositiveInt = 50,
        evaluate_every_steps: PositiveInt = 1000,
        image_every_steps: PositiveInt = 1000,
        checkpoint_every_steps: PositiveInt = 500,
        keep_checkpoints: PositiveInt = 2,
        image_samples: PositiveInt = 64,
        n_batches: PositiveInt | None = None,
        profile_steps: NonNegativeInt = 0,
    ) -> None:
        if batch_size > dataset.n_train:
            raise ValueError(f"batch_size must be at most {dataset.n_train}, the training points, got {batch_size}")
        if objective.buffer is not None and objective.buffer.size < batch_size:
            raise ValueError(f"batch_size must be at most buffer.size, {objective.buffer.size}, got {batch_size}")
        if objective.buffer is None and sampling.init == "buffer":
            raise ValueError("sampling.init=buffer needs an objective with a buffer; use noise or data")
        self.dataset, self.energy, self.objective, self.optimizer = dataset, energy, objective, optimizer
        self.sampling, self.evaluators, self.logger = sampling, evaluators, logger
        self.run_dir, self.group, self.seed, self.device = run_dir, group, seed, device
        self.optimized_metric, self.max_steps, self.max_minutes = optimized_metric, max_steps, max_minutes
        self.batch_size, self.precision = batch_size, precision
        self.lr_decay, self.lr_decay_steps = lr_decay, lr_decay_steps
        self.lr_schedule = (lr_warmup_steps, lr_decay, lr_decay_steps, lr_decay_rate)
        self.gradient_norm_clip = float("inf") if gradient_norm_clip is None else gradient_norm_clip
        self.log_every, self.evaluate_every = log_every_steps, evaluate_every_steps
        self.image_every, self.checkpoint_every = image_every_steps, checkpoint_every_steps
        self.keep_checkpoints, self.image_samples = keep_checkpoints, image_samples
        self.n_batches, self.profile_steps = n_batches, profile_steps
        self.ema = EMA(energy, ema_rate)
        self.params = [p for p in energy.parameters() if p.requires_grad]
        self.base_lr = [group["lr"] for group in optimizer.param_groups]
        self.step = 0
        self.elapsed = 0.0  # seconds of training, earlier sessions included
        self.best: dict[str, Any] | None = None
        self.run = Run(run_dir)

    def fit(self, config: dict[str, Any], state: dict[str, Any] | None = None) -> float | None:
        """Train until ``max_steps``; returns the best value of the optimized metric.

        Args:
            config: what W&B records.
            state: the checkpoint to go on from.

        Raises:
            NonFiniteError: naming step and metric; the summary says so too, and no later checkpoint is written.
        """
        if state is not None:
            self.load_state_dict(state)
        truncate_after(self.run.metrics_file, self.step)
        facts = report.facts(self)
        name = "/".join(self.run_dir.parts[-2:])
        group = self.group or name  # of a single run: what is drawn from it joins it there
        self.logger.start(config | facts, (state or {}).get("wandb_id"), name, group, self.run_dir)
        summary: dict[str, Any] = {"state": "running", "wandb_id": self.logger.id, "group": group} | facts
        self.run.write_summary(summary | {"step": self.step})
        outcome: dict[str, Any] = {"state": "failed", "reason": "an exception; see train.log"}
        try:
            with Progress(self.max_steps) as progress, StopRequest() as stop:
                profiling = profiler(self.run_dir, self.profile_steps, progress.print)
                for line in report.outline(self, facts):
                    progress.print(line)
                with profiling as step_done:
                    outcome = {"state": self._loop(progress, stop, summary, step_done)}
        except NonFiniteError as error:
            outcome = {
                "state": "failed",
                "reason": str(error),
                "failed_step": error.step,
                "failed_metric": error.metric,
            }
            raise
        except Exception as error:
            outcome["reason"] = f"{type(error).__name__}: {error}"
            raise
        finally:
            summary |= outcome | {"step": self.step, "minutes": round(self.elapsed / 60, 3), "best": self.best}
            self.run.write_summary(summary)
            self.logger.summary({f"best/{key}": value for key, value in (self.best or {}).items()})
            self.logger.finish(0 if outcome["state"] in ("finished", "stopped") else 1)
        report.say_goodbye(self, outcome["state"])
        return self.best["value"] if self.best else None

    def _loop(
        self, progress: Progress, stop: StopRequest, summary: dict[str, Any], step_done: Callable[[], None]
    ) -> str:
        meter, rows = Meter(self.device), Jsonl(self.run.metrics_file)
        started, steps_at, clock_at = time.perf_counter() - self.elapsed, self.step, time.perf_counter()
        output: ObjectiveOutput | None = None
        while True:
            self.elapsed = time.perf_counter() - started
            out_of_time = self.max_minutes is not None and self.elapsed >= 60 * self.max_minutes
            last = self.step >= self.max_steps or out_of_time or stop.requested
            if output is not None:
                # A checkpoint closes the interval of the averages, so that a resumed run logs the same rows.
                save = last or self.step % self.checkpoint_every == 0
                evaluate = last or self.step % self.evaluate_every == 0
                if save or evaluate or self.step % self.log_every == 0:
                    row, bad = meter.read()
                    now = time.perf_counter()
                    row["time/steps_per_s"] = (self.step - steps_at) / (now - clock_at)
                    row["time/minutes"] = self.elapsed / 60
                    row["train/lr"] = self.optimizer.param_groups[0]["lr"]
                    if bad is not None:
                        rows.write({"step": self.step} | row)
                        raise NonFiniteError(*bad)
                    progress.update(self.step, row.get("train/loss"), row.get("train/energy_gap"))
                    improved = evaluate and self._evaluate(row)
                    summary["metrics"] = summary.get("metrics", {}) | row
                    rows.write({"step": self.step} | row)
                    self.logger.log(row, self.step)
                    if last or self.step % self.image_every == 0:
                        self.logger.log_images(report.draw_images(self, self.step, output), self.step)
                    if save or improved:
                        self._save()
                        self.run.write_summary(summary | {"step": self.step, "best": self.best})
                    steps_at, clock_at = self.step, time.perf_counter()
            if last:
                return "finished" if self.step >= self.max_steps or out_of_time else "stopped"
            output, metrics = self._update()
            self.step += 1
            meter.add(self.step, metrics)
            step_done()

    def _update(self) -> tuple[ObjectiveOutput, dict[str, torch.Tensor]]:
        """One optimizer step; no host synchronisation."""
        factor = lr_factor(self.step, *self.lr_schedule)
        for group, lr in zip(self.optimizer.param_groups, self.base_lr, strict=True):
            group["lr"] = lr * factor
        index = self.step if self.n_batches is None else self.step % self.n_batches
        batch = self.dataset.batch(index, self.batch_size, self.seed)
        noise = generator(self.device, "train", self.seed, 0, 0, self.step)  # (seed, rank, attempt, step)
        self.energy.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            output = self.objective(self.energy, batch, noise)
        self.optimizer.zero_grad(set_to_none=True)
        output.loss.mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(self.params, self.gradient_norm_clip)
        self.optimizer.step()
        self.ema.update()
        return output, output.metrics | {"train/grad_norm": norm}

    def _evaluate(self, row: dict[str, float]) -> bool:
        """Add ``eval/…`` to the row; True when the optimized metric is the lowest so far."""
        row |= report.evaluate(self)
        value = row.get(self.optimized_metric or "")
        if value is None or not math.isfinite(value) or (self.best and value >= self.best["value"]):
            return False
        self.best = {"metric": self.optimized_metric, "value": value, "step": self.step}
        return True

    def _save(self) -> None:
        if not all(bool(p.isfinite().all()) for p in self.params):
            raise NonFiniteError(self.step, "parameters")
        checkpoint.save(checkpoint.step_path(self.run.checkpoints, self.step), self.state_dict())
        checkpoint.prune(self.run.checkpoints, self.keep_checkpoints, {self.best["step"]} if self.best else set())

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs beside its config."""
        buffer = self.objective.buffer
        return {
            "step": self.step,
            "elapsed": self.elapsed,
            "best": self.best,
            "wandb_id": self.logger.id,
            "energy": self.energy.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "buffer": None if buffer is None else buffer.state_dict(),
            "sampler": self.sampling.sampler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.elapsed, self.best = state["step"], state["elapsed"], state["best"]
        self.energy.load_state_dict(state["energy"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampling.sampler.load_state_dict(state["sampler"])
        if self.objective.buffer is not None:
            self.objective.buffer.load_state_dict(state["buffer"])
