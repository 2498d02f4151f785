"""A search's trials in Optuna's journal: proposed, taken over from workers that died, told by how their jobs ended.

The journal lies in the sweep's folder, so several processes and machines work on one study. Each proposal is made under
a lock by a sampler that is seeded by its number: a search that was interrupted proposes what it would have proposed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from ebm_exp.sweep.directory import Job, SweepDirectory
from ebm_exp.sweep.settings import score
from ebm_exp.sweeper.job import worker_name
from ebm_exp.sweeper.settings import Settings
from ebm_exp.sweeper.space import Space
from ebm_exp.sweeper.study import NAME, make_pruner, make_sampler, storage

_MAX_REPEATED, _MAX_ATTEMPTS = 50, 5


class Trial(NamedTuple):
    """What a trial is to be run with.

    Attributes:
        number: names its folder.
        overrides: its values.
    """

    number: int
    overrides: tuple[str, ...]


class Search:
    """One worker's hold on a study; a context in which its trials count as alive.

    Args:
        sweep: its directory.
        space: what is chosen from.
        directions: ``lower`` or ``higher`` by metric.
        settings: of the search.
        defaults: values by key that the first trial gets; None: it is proposed too.

    Raises:
        UserError: for an unknown sampler or pruner, or what it does not take.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        space: Space,
        directions: Mapping[str, str],
        settings: Settings,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.sweep = sweep
        self.space = space
        self.metrics = list(directions)
        self.settings = settings
        self.worker = f"worker-{worker_name()}"
        self.is_exhausted = False
        make_sampler(settings.sampler, settings.seed)  # refused before anything is written
        pruner = make_pruner(settings.pruner)
        self._lock = sweep.lock("search")
        self.storage = storage(sweep)
        with self._lock.acquire():
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=NAME,
                pruner=pruner,
                load_if_exists=True,
                directions=["minimize" if each == "lower" else "maximize" for each in directions.values()],
            )
            if defaults is not None and not self.study.get_trials(deepcopy=False):
                self.study.enqueue_trial(dict(defaults))

    def __enter__(self) -> Self:
        self._alive = self.sweep.lock(self.worker)
        self._alive.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.release()

    def left(self) -> int:
        """Trials that are still to be completed or pruned."""
        return self.settings.n_trials - len(self._trials(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def has_failed(self) -> bool:
        """Whether too many trials have failed."""
        return sum(_was_tried(trial) for trial in self._trials(TrialState.FAIL)) >= self.settings.max_failed

    def why_none(self) -> str | None:
        """Why ``next`` has nothing while trials are left; None: none is left."""
        if self.has_failed:
            return f"{self.settings.max_failed} trials failed or diverged (hydra.sweeper.max_failed)"
        if self.left() <= 0:
            return None
        return "its space has nothing new" if self.is_exhausted else "another worker has the rest"

    def next(self) -> Trial | None:
        """A trial that a dead worker left, else a new one; None when enough are done or running, or too many failed."""
        with self._lock.acquire():
            running = self._trials(TrialState.RUNNING)
            dead = [trial for trial in running if self._is_dead(trial)]
            if self.has_failed:
                return None
            for trial in dead:
                if (taken := self._take_over(trial)) is not None:
                    return taken
            return self._propose() if self.left() > len(running) - len(dead) else None

    def tell(self, number: int, job: Job | None) -> None:
        """Record how a trial's job ended; one that was stopped or killed is left for whoever comes next.

        Args:
            number: of the trial.
            job: as it stands in its folder; None: it has not begun.
        """
        trial = self._trial(number)
        if job is None or job.state in ("waiting", "killed", "stopped", "running"):
            was_stopped = job is not None and job.state == "stopped"  # by a user, not by what it does
            self._note(trial, worker=None, **({"attempts": 0} if was_stopped else {}))
        elif job.state == "pruned":
            self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
        elif job.state == "finished":
            scores = {metric: score(job, metric, len(self.metrics) == 1) for metric in self.metrics}
            values = [value for value in scores.values() if value is not None]
            if len(values) == len(scores):
                self.study.tell(number, values, skip_if_finished=True)
            else:
                wrong = next(metric for metric, value in scores.items() if value is None)
                self._fail(trial, f"{wrong} is not there, not finite, or refuted by its own evidence")
        else:
            self._fail(trial, job.reason or job.state)

    def _propose(self) -> Trial | None:
        for _ in range(_MAX_REPEATED):
            trials = self.study.get_trials(deepcopy=False)
            made = sum(trial.state != TrialState.WAITING for trial in trials)
            seed = int(np.random.SeedSequence([self.settings.seed, made]).generate_state(1)[0])
            self.study.sampler = make_sampler(self.settings.sampler, seed)
            trial = self.study.ask()
            overrides = self.space.suggest(trial)
            same = [each for each in trials if each.params == trial.params and _was_tried(each)]
            if not same:
                self._note(self._trial(trial.number), worker=self.worker, overrides=list(overrides), attempts=1)
                return Trial(trial.number, overrides)
            self._note(self._trial(trial.number), repeated=same[0].number)
            self.study.tell(trial, state=TrialState.FAIL)
        self.is_exhausted = True
        return None

    def _take_over(self, trial: FrozenTrial) -> Trial | None:
        attempts = trial.user_attrs.get("attempts", 0) + 1
        if "overrides" not in trial.user_attrs:  # its worker died while it was proposed: nothing was begun
            self._fail(trial, "its worker died while it was proposed", repeated=trial.number)
            return None
        if attempts > _MAX_ATTEMPTS:
            self._fail(trial, f"killed {_MAX_ATTEMPTS} times")
            return None
        self._note(trial, worker=self.worker, attempts=attempts)
        return Trial(trial.number, tuple(trial.user_attrs["overrides"]))

    def _is_dead(self, trial: FrozenTrial) -> bool:
        """Whether no process works on a running trial: we hold the lock, so none is just being proposed."""
        worker = trial.user_attrs.get("worker")
        alive = worker is not None and self.sweep.is_locked(worker)
        return not alive and not self.sweep.is_locked(str(trial.number))

    def _fail(self, trial: FrozenTrial, reason: str, **more: Any) -> None:
        self._note(trial, reason=reason, **more)
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _note(self, trial: FrozenTrial, **attributes: Any) -> None:
        if not trial.state.is_finished():
            for key, value in attributes.items():
                self.storage.set_trial_user_attr(trial._trial_id, key, value)

    def _trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)


def _was_tried(trial: FrozenTrial) -> bool:
    """Whether a job has begun with a trial's values, however it ended."""
    return trial.state != TrialState.WAITING and "repeated" not in trial.user_attrs
