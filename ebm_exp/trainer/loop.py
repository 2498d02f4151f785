"""The training loop: report → guard → checkpoint → evaluate → draw → stop? → step.

Every step is a function of the state and the step's number alone (batches and noise come from derived generators),
so a run that is killed and resumed walks the same path, bit for bit on the CPU.
"""

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ebm_exp.config.run_config import FORMAT
from ebm_exp.evaluator import Score, as_row, refuted
from ebm_exp.guard import DivergedError, Meter, NonFiniteError, Symptom
from ebm_exp.guard.scores import Judged
from ebm_exp.logger.console import Progress
from ebm_exp.metrics import ENERGY_GAP, LEARNING_RATE, LOSS, MINUTES, STEPS_PER_S
from ebm_exp.objective.base import Loss
from ebm_exp.run import checkpoint
from ebm_exp.trainer import divergence
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.observer import Observer
from ebm_exp.trainer.outcome import Best, Outcome, Prune, best_of
from ebm_exp.trainer.record import Record
from ebm_exp.trainer.settings import Trainer
from ebm_exp.trainer.stop import Result, StopRequest
from ebm_exp.trainer.update import Update

log = logging.getLogger(__name__)
FIRST_IMAGE = 60.0  # seconds of training after which one is drawn, if none was due before


class Loop:
    """Steps and what is done between them.

    Args:
        trainer: the settings.
        experiment: what trains.
        record: takes what there is to tell.
        prune: told the scores of each evaluation, once they are saved.

    Attributes:
        step: so many are taken.
        elapsed: seconds of training, those of earlier sessions included.
        best: the best evaluation so far.
        saved: step of the newest checkpoint; 0: there is none.
        unevaluated: the scores of this step are to come.
    """

    def __init__(self, trainer: Trainer, experiment: Experiment, record: Record, prune: Prune) -> None:
        self.trainer = trainer
        self.experiment = experiment
        self.record = record
        self.prune = prune
        self.ema = EMA(experiment.energy, experiment.objective, trainer.ema_rate)
        self.meter = Meter(experiment.engine.device)
        self.update = Update(experiment, self.ema, self.meter, trainer.accumulate_steps, trainer.gradient_norm_clip)
        self.observer = Observer(experiment, record.directory, self.ema.energy, trainer.image_samples)
        self.ranks = experiment.ranks
        self.step = self.saved = 0
        self.elapsed = 0.0
        self.best: Best | None = None
        self.unevaluated = False
        self._loss: Loss | None = None  # of the last step; None before the first of this session
        self._logged = 0, 0.0  # step and clock of the last row

    def run(self, progress: Progress, stop: StopRequest, step_done: Callable[[], None] | None) -> Outcome:
        """Train until ``max_steps``, or what ends it before.

        Args:
            progress: is shown each row.
            stop: asks for an end after the running step.
            step_done: called after each step, if given.

        Raises:
            DivergedError: when the training is not healthy any more; what shows it is kept.
        """
        trainer, engine, began = self.trainer, self.experiment.engine, time.perf_counter() - self.elapsed
        limit = float("inf") if trainer.max_minutes is None else 60 * trainer.max_minutes
        self._logged = self.step, time.perf_counter()
        progress.tick(self.step)
        self.update.together.compare()
        asked = False
        self.observer.awaited = self.elapsed < FIRST_IMAGE and trainer.image_every_steps <= trainer.max_steps

        def stopping() -> bool:
            return stop.requested if self.ranks.alone else asked

        def unless(work: Callable[[], Result], signals: int = 1) -> Result | None:
            # What ranks do together none of them leaves, unless it leaves the training.
            return stop.unless(work, signals) if self.ranks.alone else work()

        while True:
            self.elapsed = time.perf_counter() - began
            curious = self.observer.awaited and self.elapsed >= FIRST_IMAGE
            wishes = self.elapsed >= limit, stop.requested, engine.has_failed, curious
            late, asked, eagerly, curious = self.update.together.agree(*wishes)
            engine.records &= self.ranks.alone or not eagerly  # where one rank cannot record, none does
            ended = self.step >= trainer.max_steps or late
            if self._is_due(trainer.log_every_steps, ended):
                self._report(progress)
            # A stop by a signal leaves no trace: the run that goes on writes the rows of one that was not stopped.
            due = self.unevaluated or self._is_due(trainer.evaluate_every_steps, ended)
            self.unevaluated = due and bool(self.experiment.evaluators)
            if self._is_due(trainer.checkpoint_every_steps, ended or stopping() or self.unevaluated):
                self._save()  # before it is evaluated: neither can cost the other
            if self.unevaluated and (scores := unless(self._evaluate)) is not None:
                self._take(scores)
                if not ended and self.ranks.share(self.prune(self.step, scores)):
                    return Outcome("pruned", self.best, f"its scores at step {self.step:,}")
            early = curious and self.observer.awaited
            if self._is_due(trainer.image_every_steps, ended or early):
                draw = functools.partial(self._draw, ended, early and not ended)
                self.record.logger.log(unless(draw) or {}, self.step)
            self.record.logger.commit()
            if stopping():
                self._keep_last()
            if ended or stopping():
                whole = ended and not (stopping() and self.unevaluated)
                return Outcome("finished" if whole else "stopped", self.best)
            loss = self.update(self.step, functools.partial(unless, signals=2))
            if loss is None:  # nothing of it is taken in: this is still the end of the step before
                self._keep_last()
                return Outcome("stopped", self.best)
            self._loss = loss
            self.step += 1
            progress.tick(self.step)
            if step_done is not None:
                step_done()

    def _is_due(self, every_steps: int, at_last: bool) -> bool:
        """Whether something is due after the step that was just taken, if one was."""
        return self._loss is not None and (at_last or self.step % every_steps == 0)

    def _report(self, progress: Progress) -> None:
        """The row of an interval, unless the guard ends the training with it."""
        row, bad = self.meter.read()
        (last_step, last_clock), now = self._logged, time.perf_counter()
        self._logged = self.step, now
        row[STEPS_PER_S] = (self.step - last_step) / (now - last_clock)
        row[MINUTES] = self.elapsed / 60
        row[LEARNING_RATE] = self.experiment.optimizer.param_groups[0]["lr"]
        signals, symptom = self.experiment.guard.read()
        row |= signals
        if bad is not None:
            self.record.write(self.step, row, keep=False)
            self._diverge(NonFiniteError(*bad))
        if symptom is not None:
            self._handle(symptom, row)
        progress.update(self.step, row.get(LOSS), row.get(ENERGY_GAP))
        self.record.write(self.step, row, keep=True)

    def _evaluate(self) -> dict[str, Score]:
        return self.ranks.share(self._survive("evaluator", self.observer.evaluate))

    def _take(self, scores: dict[str, Score]) -> None:
        """Write, judge and save the scores of this step."""
        self.record.write(self.step, as_row(scores), keep=True)
        self.record.logger.summary(self.observer.bests(scores))
        self.record.judge(self.step, refuted(scores))
        self.best = best_of(self.best, self.experiment.optimized_metric, scores, self.step)
        self.unevaluated = False
        symptom = self.experiment.guard.judge(self.step, scores, self._score_points)
        if symptom is not None:
            self._handle(symptom, {})
        self._save()

    def _score_points(self, which: Judged) -> dict[str, Score]:
        scores = self._survive(f"scores of {which}", functools.partial(self.observer.score_points, which))
        return self.ranks.share(scores)

    def _draw(self, last: bool, early: bool) -> dict[str, Any]:
        assert self._loss is not None  # images are due after a step alone
        return self._survive("image", functools.partial(self.observer.draw, self.step, self._loss, last, early))

    def _survive(self, what: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What work returns; empty when it fails, which is told and costs no more than itself."""
        try:
            return work()
        except Exception:
            log.warning("step %d: no %s, the training goes on", self.step, what, exc_info=True)
            return {}

    def _handle(self, symptom: Symptom, row: dict[str, float]) -> None:
        """Say what the guard found, or end."""
        symptom = divergence.explain(symptom, self.experiment)
        if self.experiment.guard.on_divergence != "warn":
            self.record.write(self.step, row, keep=False)
            self._diverge(DivergedError(symptom))
        log.warning("step %d: %s", self.step, symptom.text)
        self.record.tell(symptom)

    def _diverge(self, error: DivergedError) -> NoReturn:
        """Keep what shows it, and end the training as diverged."""
        if isinstance(error, NonFiniteError):
            error.symptom = divergence.explain(error.symptom, self.experiment)
        state = self.state_dict()
        if self.ranks.first:
            divergence.keep(self.record.directory, error.symptom, self.experiment, self._loss, state)
        raise error

    def _save(self) -> None:
        bad = self.meter.first_bad()
        if bad is None and not all(bool(p.isfinite().all()) for p in self.experiment.energy.parameters()):
            bad = self.step, "parameters"
        if bad is not None:
            self.record.write(self.step, self.meter.read()[0], keep=False)
            self._diverge(NonFiniteError(*bad))
        self.record.sync()
        self.update.together.compare()
        path = self.record.directory.checkpoint(self.step)
        checkpoint.save_together(path, self.state_dict(), self.ranks)
        self.record.stand(self.step, self.best)  # before a checkpoint goes that was the best until now
        kept = {self.best["step"]} if self.best else set()
        if self.ranks.first:
            checkpoint.prune(self.record.directory, self.trainer.keep_checkpoints, kept)
        self.saved = self.step

    def _keep_last(self) -> None:
        """Save the last step, if it is not saved and there was one."""
        if self.saved != self.step:
            self.update.set_rates(self.step - 1)  # as it left them
            self._save()

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs beside its config."""
        return {
            "format": FORMAT,
            "step": self.step,
            "elapsed": self.elapsed,
            "best": self.best,
            "unevaluated": self.unevaluated,
            "rows": self.record.count_rows(self.step),
            "wandb_id": self.record.logger.id,
            "parts": self.experiment.state_dict(),
            "ema": self.ema.state_dict(),
            "meter": self.meter.state_dict(),
        } | ({} if self.ranks.alone else {"ranks": self.ranks.n})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, whose states the parts of the experiment have taken over already."""
        self.step = self.saved = state["step"]
        self.elapsed = state["elapsed"]
        self.best = state["best"]
        self.unevaluated = state["unevaluated"]
        self.ema.load_state_dict(state["ema"])
        self.meter.load_state_dict(state["meter"])
        self.update.set_rates(self.step - 1)  # as the last step left them: they may be saved before the next
