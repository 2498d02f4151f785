"""One start of a training: what is opened before the loop, and what is said after it, however it ends."""

import logging
from collections.abc import Mapping
from typing import Any

from ebm_exp.config.errors import UNFIT, UserError, unfit
from ebm_exp.files import disk_problem
from ebm_exp.guard import DivergedError, NonFiniteError
from ebm_exp.logger import Logger
from ebm_exp.logger.console import Progress
from ebm_exp.ranks import RankLostError
from ebm_exp.run.directory import RunDirectory
from ebm_exp.terminal import complain
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.loop import Loop
from ebm_exp.trainer.outcome import Outcome, Prune
from ebm_exp.trainer.pace import tell_pace
from ebm_exp.trainer.profile import profiler
from ebm_exp.trainer.record import Record, Silent
from ebm_exp.trainer.screen import collect_facts, outline, tell_where
from ebm_exp.trainer.settings import Trainer
from ebm_exp.trainer.stop import Interrupt, StopRequest

log = logging.getLogger(__name__)


class Session:
    """Trains an experiment and leaves a run directory.

    Args:
        trainer: the settings.
        experiment: what trains.
        directory: where files go.
        logger: where numbers and images go beside the directory.
        state: the checkpoint to go on from, whose states the experiment has taken over already; None: from the start.
        prune: told the step and the scores of each evaluation, once they are saved; True ends the training there.
        group: the sweep it belongs to; None: a single run.

    Raises:
        UserError: when the checkpoint does not fit.
    """

    def __init__(
        self,
        trainer: Trainer,
        experiment: Experiment,
        directory: RunDirectory,
        logger: Logger,
        state: Mapping[str, Any] | None = None,
        prune: Prune = lambda step, scores: False,
        group: str | None = None,
    ) -> None:
        self.trainer = trainer = trainer.of_length(experiment.dataset.n_train)
        self.experiment = experiment
        self.ranks = experiment.ranks
        self.record = Record(directory, logger) if self.ranks.first else Silent(directory)
        self.loop = Loop(trainer, experiment, self.record, prune)
        self.state = state
        self.group = group
        if state is not None:
            try:
                self.loop.load_state_dict(state)
            except UNFIT as error:
                raise UserError(f"resume: what the checkpoint holds does not fit ({unfit(error)})") from None

    def run(self) -> Outcome:
        """Train until ``max_steps``.

        Returns:
            How it ended; of one that ``diverged`` with its symptom, and no later checkpoint is written.
        """
        loop, directory, logger = self.loop, self.record.directory, self.record.logger
        facts = self._begin()
        stop = StopRequest() if self.ranks.alone else StopRequest("stopping after the next step" * self.ranks.first)
        outcome: Outcome | None = None
        reason = "an exception; see train.log"
        found: dict[str, Any] = {}
        try:
            with Progress(self.trainer.max_steps) as progress, stop:
                for line in outline(self.experiment, directory, facts, loop.step, self.trainer.max_steps):
                    progress.print(line)
                for line in tell_pace(self.experiment, self.trainer, loop.update, loop.step):
                    progress.print(line)
                with profiler(directory.path, self.trainer.profile_steps, progress.print) as step_done:
                    outcome = loop.run(progress, stop, step_done)._replace(signal=stop.signal)
        except Interrupt:
            outcome = Outcome("stopped", loop.best, f"left within a step; {_newest(loop)}", stop.signal)
            loop.step = loop.saved
        except DivergedError as error:
            symptom = error.symptom
            outcome = Outcome("diverged", loop.best, symptom.text, stop.signal, symptom)
            found = {"symptom": symptom.name, "failed_step": symptom.step}
            found |= {"failed_metric": error.metric} if isinstance(error, NonFiniteError) else {}
        except RankLostError as error:
            reason = f"{error}; {_newest(loop)}"
            complain(f"rank {self.ranks.rank}: {reason}")  # at once: who started it ends it soon
            raise RankLostError(reason, told=True) from error
        except Exception as error:
            reason = disk_problem(error) or f"{type(error).__name__}: {error}"
            log.error("failed at step %d", loop.step, exc_info=disk_problem(error) is None)
            raise
        finally:
            state, why = ("failed", reason) if outcome is None else (outcome.state, outcome.reason)
            reached = {"step": loop.step, "minutes": round(loop.elapsed / 60, 3), "best": loop.best}
            self.record.end(state, found | {"reason": why} | reached)
        if not self.ranks.first:
            return outcome
        if outcome.state == "diverged":
            complain(f"diverged: {outcome.reason} See {directory.path}")
            return outcome
        tell_where(
            directory,
            outcome=outcome,
            step=loop.step,
            seconds=loop.elapsed,
            trainer=self.trainer,
            ends_at=self.experiment.schedule.ends_at,
            hints=logger.hint(),
        )
        return outcome

    def _begin(self) -> dict[str, Any]:
        """Open the record; returns what it was told of the run beside its config."""
        facts = collect_facts(self.experiment)
        state = self.state or {}
        self.record.begin(
            self.experiment.config,
            facts,
            step=self.loop.step,
            n_rows=state.get("rows"),
            group=self.group,
            wandb_id=state.get("wandb_id"),
        )
        if self.loop.unevaluated:  # the row of this step waits for its scores
            self.record.repeat(self.loop.step)
        return facts


def _newest(loop: Loop) -> str:
    return f"the newest checkpoint is of step {loop.saved:,}" if loop.saved else "there is no checkpoint yet"
