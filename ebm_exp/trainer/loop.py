"""The training loop: report → guard → checkpoint → evaluate → draw → stop? → step.

Every step is a function of the state and the step's number alone (batches and noise come from derived generators),
so a run that is killed and resumed walks the same path, bit for bit on the CPU.
"""

import functools
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UNFIT, UserError, unfit
from ebm_exp.config.run_config import FORMAT
from ebm_exp.evaluator import Score, as_row
from ebm_exp.files import disk_problem
from ebm_exp.guard import DivergedError, Meter, NonFiniteError, Symptom
from ebm_exp.logger import Logger
from ebm_exp.logger.console import Progress, to_file
from ebm_exp.metrics import ENERGY_GAP, LEARNING_RATE, LOSS, MINUTES, STEPS_PER_S
from ebm_exp.objective.base import Loss
from ebm_exp.part import Part
from ebm_exp.run import checkpoint, session
from ebm_exp.run.about import about
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.metrics import Jsonl, truncate_after
from ebm_exp.trainer import divergence
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.outcome import Best, Outcome, best_of
from ebm_exp.trainer.profile import profiler
from ebm_exp.trainer.report import Report
from ebm_exp.trainer.stop import StopRequest
from ebm_exp.trainer.update import Update
from ebm_exp.types import NonNegativeInt, Positive, PositiveInt, Probability

log = logging.getLogger(__name__)


class Trainer(Part):
    """Trains an experiment and leaves a run directory.

    Args:
        max_steps: optimizer steps in all, resumed ones included.
        max_minutes: stop after this much training time, resumed ones included; null: no limit.
        batch_size: training points, and chains, per step.
        accumulate_steps: the batch is taken in so many parts, whose gradients add up; each draws its own chains.
        gradient_norm_clip: largest norm of the parameters' gradient; null: no clip.
        ema_rate: share of the new weights in the average, per step; 1 follows the weights.
        log_every_steps, evaluate_every_steps, image_every_steps, checkpoint_every_steps: intervals.
        keep_checkpoints: the newest so many are kept, and the best.
        image_samples: points in each panel of an image.
        n_batches: train on the first so many batches again and again (``debug=overfit``); null: on all data.
        profile_steps: record so many steps with torch's profiler (``debug=profile``).

    Raises:
        ValueError: when the batch cannot be taken in so many parts.
    """

    def __init__(
        self,
        *,
        max_steps: PositiveInt,
        batch_size: PositiveInt,
        max_minutes: Positive | None = None,
        accumulate_steps: PositiveInt = 1,
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
        if batch_size % accumulate_steps:
            raise ValueError(f"accumulate_steps must divide batch_size, {batch_size}, got {accumulate_steps}")
        self.max_steps, self.max_minutes, self.batch_size = max_steps, max_minutes, batch_size
        self.accumulate_steps, self.ema_rate = accumulate_steps, ema_rate
        self.gradient_norm_clip = float("inf") if gradient_norm_clip is None else gradient_norm_clip
        self.log_every, self.evaluate_every = log_every_steps, evaluate_every_steps
        self.image_every, self.checkpoint_every = image_every_steps, checkpoint_every_steps
        self.keep_checkpoints, self.image_samples = keep_checkpoints, image_samples
        self.n_batches, self.profile_steps = n_batches, profile_steps

    def fit(
        self,
        parts: Parts,
        experiment: Experiment,
        directory: RunDirectory,
        logger: Logger,
        group: str | None = None,
        state: dict[str, Any] | None = None,
        prune: Callable[[int, dict[str, Score]], bool] = lambda step, scores: False,
    ) -> Outcome:
        """Train until ``max_steps``.

        Args:
            parts: whose states a checkpoint holds; the logger records their config.
            experiment: those that train.
            directory: where files go.
            logger: where numbers and images go beside the directory.
            group: the sweep it belongs to; None: a single run.
            state: the checkpoint to go on from, whose states the parts have taken over already.
            prune: told the step and the scores of each evaluation, once they are saved; True ends the training there.

        Returns:
            How it ended; of one that ``diverged`` with its symptom, and no later checkpoint is written.
        """
        self.parts, self.experiment, self.directory, self.logger = parts, experiment, directory, logger
        self.prune, self.rows = prune, Jsonl(directory.metrics_file)
        self.ema = EMA(experiment.energy, experiment.objective, self.ema_rate)
        self.meter = Meter(experiment.engine.device)
        self.step, self.elapsed, self.unevaluated, self.saved = 0, 0.0, False, 0
        self.best: Best | None = None
        if state is not None:
            try:
                self._load(state)
            except UNFIT as error:
                raise UserError(f"resume: what the checkpoint holds does not fit ({unfit(error)})") from None
        self.report = Report(experiment, directory, self.ema.energy, self.image_samples)
        truncate_after(directory.metrics_file, self.step)
        facts = self.report.facts()
        name = "/".join(directory.path.parts[-2:])
        before = directory.summary()
        group = group or before.get("group") or name  # of a single run: what is drawn from it joins it there
        logger.start(
            about(directory, parts.config, group, facts), (state or {}).get("wandb_id") or before.get("wandb_id")
        )
        if self.unevaluated:  # the row of this step waits for its scores
            for row in directory.metrics():
                logger.log({k: v for k, v in row.items() if row["step"] == self.step and k != "step"}, self.step)
        earlier = before.get("metrics", {})
        summary: dict[str, Any] = {"state": "running", "wandb_id": logger.id, "group": group}
        summary |= session.begin(directory) | facts
        summary |= {"metrics": earlier} | {key: before.get(key, []) for key in ("attempts", "symptoms")}
        directory.write_summary(summary | {"step": self.step})
        outcome: Outcome | None = None
        failed: dict[str, Any] = {"state": "failed", "reason": "an exception; see train.log"}
        stop = StopRequest()
        try:
            with Progress(self.max_steps) as progress, stop:
                for line in self.report.outline(facts, self.batch_size, self.step, self.max_steps):
                    progress.print(line)
                with profiler(directory.path, self.profile_steps, progress.print) as step_done:
                    outcome = self._loop(progress, stop, summary, step_done)._replace(signal=stop.signal)
        except DivergedError as error:
            symptom = error.symptom
            outcome = Outcome("diverged", self.best, symptom.text, stop.signal, symptom)
            summary |= {"symptom": symptom.name, "failed_step": symptom.step}
            summary |= {"failed_metric": error.metric} if isinstance(error, NonFiniteError) else {}
        except Exception as error:
            failed["reason"] = disk_problem(error) or f"{type(error).__name__}: {error}"
            log.error("failed at step %d", self.step, exc_info=disk_problem(error) is None)
            raise
        finally:
            summary |= failed if outcome is None else {"state": outcome.state, "reason": outcome.reason}
            summary |= {"step": self.step, "minutes": round(self.elapsed / 60, 3), "best": self.best}
            try:
                directory.write_summary(summary)
            except OSError as error:
                log.warning("summary.json could not be written (%s)", error)
            self.report.close(logger, summary)
        if outcome.state == "diverged":
            print(f"diverged: {outcome.reason}; see {directory.path}", file=sys.stderr)
            return outcome
        self.report.tell_where(outcome.state, self.step, self.max_steps, self.elapsed, self.best, logger.hint())
        return outcome

    def _loop(
        self, progress: Progress, stop: StopRequest, summary: dict[str, Any], step_done: Callable[[], None]
    ) -> Outcome:
        began, self._steps_at, self._clock_at = time.perf_counter() - self.elapsed, self.step, time.perf_counter()
        update = Update(
            self.experiment,
            self.ema,
            self.meter,
            self.batch_size,
            self.accumulate_steps,
            self.n_batches,
            self.gradient_norm_clip,
        )
        self.loss: Loss | None = None
        while True:
            self.elapsed = time.perf_counter() - began
            out_of_time = self.max_minutes is not None and self.elapsed >= 60 * self.max_minutes
            ended = self.step >= self.max_steps or out_of_time
            stepped = self.loss is not None
            # A stop by a signal leaves no trace: the run that goes on writes the rows of one that was not stopped.
            evaluate = self.unevaluated or (stepped and self._due(self.evaluate_every, ended))
            evaluate = evaluate and bool(self.experiment.evaluators)
            if stepped and self._due(self.log_every, ended):
                row = self._read_meter(summary)
                progress.update(self.step, row.get(LOSS), row.get(ENERGY_GAP))
                self._write(summary, row)
            if stepped and (evaluate or self._due(self.checkpoint_every, ended or stop.requested)):
                self.unevaluated = evaluate  # saved before it is evaluated: neither can cost the other
                self._save(summary)
            if evaluate and (scores := stop.unless(lambda: self._try("evaluator", self.report.evaluate))) is not None:
                self._write(summary, as_row(scores))
                self.logger.summary(self.report.bests(scores))
                self.best = best_of(self.best, self.experiment.optimized_metric, scores, self.step)
                self.unevaluated = False
                symptom = self.experiment.guard.judge(self.step, scores, self._of_starts)
                if symptom is not None:
                    self._found(symptom, {}, summary)
                self._save(summary)
                if not ended and self.prune(self.step, scores):
                    return Outcome("pruned", self.best, f"its scores at step {self.step:,}")
            if self.loss is not None and self._due(self.image_every, ended):
                draw = functools.partial(self.report.draw, self.step, self.loss, last=ended)
                self.logger.log(stop.unless(functools.partial(self._try, "image", draw)) or {}, self.step)
            self.logger.commit()
            if stop.requested and self.saved != self.step:
                self._save(summary)
            if ended or stop.requested:
                whole = ended and not (stop.requested and self.unevaluated)
                return Outcome("finished" if whole else "stopped", self.best)
            self.loss = update(self.step)
            self.step += 1
            step_done()

    def _of_starts(self) -> dict[str, Score]:
        return self._try("scores of where samples begin", self.report.of_starts)

    def _try(self, what: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What work returns; empty when it fails, which is told and costs no more than itself."""
        try:
            return work()
        except Exception:
            log.warning("step %d: no %s, the training goes on", self.step, what, exc_info=True)
            return {}

    def _due(self, every_steps: int, at_last: bool) -> bool:
        return at_last or self.step % every_steps == 0

    def _read_meter(self, summary: dict[str, Any]) -> dict[str, float]:
        row, bad = self.meter.read()
        now = time.perf_counter()
        row[STEPS_PER_S] = (self.step - self._steps_at) / (now - self._clock_at)
        row[MINUTES] = self.elapsed / 60
        row[LEARNING_RATE] = self.experiment.optimizer.param_groups[0]["lr"]
        signals, symptom = self.experiment.guard.read()
        row |= signals
        self._steps_at, self._clock_at = self.step, now
        if bad is not None:
            self._leave(row)
            self._end(NonFiniteError(*bad))
        if symptom is not None:
            self._found(symptom, row, summary)
        return row

    def _found(self, symptom: Symptom, row: dict[str, float], summary: dict[str, Any]) -> None:
        """Say what the guard found, or end."""
        if self.experiment.guard.on_divergence != "warn":
            self._leave(row)
            self._end(DivergedError(symptom))
        log.warning("step %d: %s", self.step, symptom.text)
        self.logger.alert(f"{self.directory.path}: {symptom.name}", symptom.text)
        summary["symptoms"] = [*summary["symptoms"], {"name": symptom.name, "step": symptom.step, "text": symptom.text}]

    def _end(self, error: DivergedError) -> NoReturn:
        """Keep what shows it, and end the training as diverged."""
        ex = self.experiment
        if isinstance(error, NonFiniteError):
            error.symptom = divergence.of_data(error.symptom, ex, self.batch_size)
        batch = ex.dataset.batch(self.step - 1, self.batch_size, ex.stream.seed, ex.stream.rank, ex.data_augmentation)
        divergence.keep(self.directory, error.symptom, batch, self.loss, self._state())
        to_file(f"diverged at step {self.step}: {error.symptom.text}", logging.ERROR)
        raise error

    def _write(self, summary: dict[str, Any], row: dict[str, float]) -> None:
        summary["metrics"] = summary["metrics"] | row
        self._leave(row)

    def _leave(self, row: dict[str, float]) -> None:
        """A row for all who read; the last of a run that diverged is not in its summary."""
        if row:
            self.rows.write({"step": self.step} | row)
            self.logger.log(row, self.step)

    def _save(self, summary: dict[str, Any]) -> None:
        bad = self.meter.first_bad()
        if bad is None and not all(bool(p.isfinite().all()) for p in self.experiment.energy.parameters()):
            bad = self.step, "parameters"
        if bad is not None:
            self._leave(self.meter.read()[0])
            self._end(NonFiniteError(*bad))
        checkpoint.save(self.directory.checkpoint(self.step), self._state())
        checkpoint.prune(self.directory, self.keep_checkpoints, {self.best["step"]} if self.best else set())
        self.directory.write_summary(summary | {"step": self.step, "best": self.best})
        self.saved = self.step

    def _state(self) -> dict[str, Any]:
        """Everything a resumed run needs beside its config."""
        return {
            "format": FORMAT,
            "step": self.step,
            "elapsed": self.elapsed,
            "best": self.best,
            "unevaluated": self.unevaluated,
            "wandb_id": self.logger.id,
            "parts": {name: part.state_dict() for name, part in self.parts.stateful().items()},
            "ema": self.ema.state_dict(),
            "meter": self.meter.state_dict(),
        }

    def _load(self, state: dict[str, Any]) -> None:
        self.step, self.elapsed, self.best = state["step"], state["elapsed"], state["best"]
        self.unevaluated, self.saved = state["unevaluated"], state["step"]
        self.ema.load_state_dict(state["ema"])
        self.meter.load_state_dict(state["meter"])
        for (
            group
        ) in self.experiment.optimizer.param_groups:  # as the last step left it: it may be saved before the next
            group["lr"] = group["initial_lr"] * self.experiment.schedule(self.step - 1)
