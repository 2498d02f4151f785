"""A search's trials in Optuna's journal: proposed, taken over from workers that died, told by how their jobs ended.

The journal lies in the sweep's folder, so several processes and machines work on one study. Each proposal is made under
a lock by a sampler that is seeded by its number: a search that was interrupted proposes what it would have proposed.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple, Self

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ebm_exp.sweep.directory import Job, SweepDirectory
from ebm_exp.sweep.settings import SEED, score
from ebm_exp.sweeper.job import worker_name
from ebm_exp.sweeper.settings import Settings
from ebm_exp.sweeper.space import Space
from ebm_exp.sweeper.study import NAME, check_trial, jobs_of, make_pruner, make_sampler, reading, storage

_MAX_REPEATED, _MAX_ATTEMPTS = 50, 5
_TO_COME = ("waiting", "killed", "stopped", "running")


class Trial(NamedTuple):
    """What a trial is to be run with.

    Attributes:
        number: of the proposal.
        overrides: its values.
        seeds: it is repeated with, one job each; none: it is one job.
    """

    number: int
    overrides: tuple[str, ...]
    seeds: tuple[str, ...] = ()

    def jobs(self) -> list[tuple[int, tuple[str, ...]]]:
        """The number and the overrides of each of its jobs."""
        each = [(*self.overrides, f"{SEED}={seed}") for seed in self.seeds] or [self.overrides]
        return list(zip(jobs_of(self.number, self.seeds), each, strict=True))


class Search:
    """One worker's hold on a study; a context in which its trials count as alive.

    Args:
        sweep: its directory.
        space: what is chosen from.
        directions: ``lower`` or ``higher`` by metric.
        settings: of the search.
        defaults: values by key that the first trial gets; None: it is proposed too.
        seeds: with which each trial is repeated, judged by its mean; none: a trial is one job.

    Raises:
        UserError: for an unknown sampler or pruner, or what it does not take; for a journal of another search.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        space: Space,
        directions: Mapping[str, str],
        settings: Settings,
        defaults: Mapping[str, Any] | None = None,
        seeds: tuple[str, ...] = (),
    ) -> None:
        self.sweep = sweep
        self.space = space
        self.metrics = list(directions)
        self.settings = settings
        self.seeds = seeds
        self.worker = f"worker-{worker_name()}"
        self.is_exhausted = False
        make_sampler(settings.sampler, settings.seed)  # refused before anything is written
        pruner = make_pruner(settings.pruner)
        self._lock = sweep.lock("search")
        self.storage = storage(sweep)
        low, high = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
        sides = [low if each == "lower" else high for each in directions.values()]
        with self._lock.acquire(), reading(sweep):
            is_there = any(each.study_name == NAME for each in self.storage.get_all_studies())
            if not is_there:  # looking leaves the journal as it is
                self.storage.create_new_study(sides, NAME)
            self.study = optuna.load_study(study_name=NAME, storage=self.storage, pruner=pruner)
            if self.study.directions != sides:
                raise ValueError(f"it optimizes {', '.join(each.name.lower() for each in self.study.directions)}")
            trials = self.study.get_trials(deepcopy=False)
            for trial in trials:
                check_trial(trial, space, len(sides))
            if defaults is not None and not trials:
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
        with self._lock.acquire(), reading(self.sweep):
            running = self._trials(TrialState.RUNNING)
            dead = [trial for trial in running if self._is_dead(trial)]
            if self.has_failed:
                return None
            for trial in dead:
                if (taken := self._take_over(trial)) is not None:
                    return taken
            return self._propose() if self.left() > len(running) - len(dead) else None

    def tell(self, number: int) -> None:
        """Record how a trial's jobs ended; where one was stopped or killed it is left for whoever comes next.

        Several are judged by their mean; one that is pruned, or fails, ends the trial.

        Args:
            number: of the trial.
        """
        trial, jobs = self._trial(number), [self.sweep.job(each) for each in jobs_of(number, self.seeds)]
        begun = [job for job in jobs if job is not None]
        ill = [job for job in begun if job.state not in (*_TO_COME, "pruned", "finished")]
        if any(job.state == "pruned" for job in begun):
            self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
        elif ill:
            self._fail(trial, ill[0].reason or ill[0].state)
        elif len(begun) < len(jobs) or any(job.state in _TO_COME for job in begun):
            was_stopped = any(job.state == "stopped" for job in begun)  # by a user, not by what it does
            self._note(trial, worker=None, **({"attempts": 0} if was_stopped else {}))
        else:
            self._tell_values(trial, begun)

    def _tell_values(self, trial: FrozenTrial, jobs: Sequence[Job]) -> None:
        scores = {metric: [score(job, metric, len(self.metrics) == 1) for job in jobs] for metric in self.metrics}
        known = {metric: [each for each in values if each is not None] for metric, values in scores.items()}
        if wrong := next((metric for metric, values in known.items() if len(values) < len(jobs)), None):
            self._fail(trial, f"{wrong} is not there, not finite, or refuted by its own evidence")
        else:
            self.study.tell(trial.number, [fmean(values) for values in known.values()], skip_if_finished=True)

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
                return Trial(trial.number, overrides, self.seeds)
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
        overrides = self.space.overrides(trial.params)  # what the journal says of them is not read
        return Trial(trial.number, overrides, self.seeds)

    def _is_dead(self, trial: FrozenTrial) -> bool:
        """Whether no process works on a running trial: we hold the lock, so none is just being proposed."""
        worker = trial.user_attrs.get("worker")
        alive = worker is not None and self.sweep.is_locked(worker)
        numbers = jobs_of(trial.number, self.seeds)
        return not alive and not any(self.sweep.is_locked(str(number)) for number in numbers)

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
