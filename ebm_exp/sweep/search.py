"""A search's trials in Optuna's journal: proposed, taken over from workers that died, told by how their jobs ended.

The journal lies in the sweep's folder, so several processes and machines work on one study. Each proposal is made under
a lock by a sampler that is seeded by its number: a search that was interrupted proposes what it would have proposed.
"""

import importlib.util
import logging
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from ebm_exp.config.errors import UserError, nearest
from ebm_exp.sweep.directory import Job, SweepDirectory
from ebm_exp.sweep.job import worker_name
from ebm_exp.sweep.space import Space

SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "random": "RandomSampler",
    "nsga2": "NSGAIISampler",
    "cmaes": "CmaEsSampler",
}
PRUNERS = {
    "median": "MedianPruner",
    "hyperband": "HyperbandPruner",
    "halving": "SuccessiveHalvingPruner",
    "none": "NopPruner",
}
_STUDY = "search"
_MAX_REPEATED, _MAX_ATTEMPTS = 50, 5


class Trial(NamedTuple):
    """What a trial is to be run with.

    Attributes:
        number: names its folder.
        overrides: its values.
        is_resumed: another worker began it.
    """

    number: int
    overrides: tuple[str, ...]
    is_resumed: bool


class Search:
    """One worker's hold on a study; a context in which its trials count as alive.

    Args:
        sweep: its directory.
        space: what is chosen from.
        directions: ``lower`` or ``higher`` by metric.
        n_trials: complete and pruned ones in all.
        max_failed: so many failed or diverged ones end it.
        sampler: ``name`` and what Optuna's class takes.
        pruner: likewise.
        seed: of the proposals.
        defaults: values by key that the first trial gets, if they lie in the space; None: it is proposed too.

    Raises:
        UserError: for an unknown sampler or pruner, or what it does not take.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        space: Space,
        directions: Mapping[str, str],
        *,
        n_trials: int,
        max_failed: int,
        sampler: Mapping[str, Any],
        pruner: Mapping[str, Any],
        seed: int = 0,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.sweep, self.space, self.metrics = sweep, space, list(directions)
        self.n_trials, self.max_failed, self.seed, self._sampler = n_trials, max_failed, seed, sampler
        self.worker = f"worker-{worker_name()}"
        make_pruner(pruner), make_sampler(sampler, seed)  # refused before anything is written
        self._lock = sweep.lock("search")
        self.storage = _storage(sweep)
        with self._lock.acquire():
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=_STUDY,
                load_if_exists=True,
                directions=["minimize" if each == "lower" else "maximize" for each in directions.values()],
            )
            first = space.contains(defaults) if defaults is not None else None
            if first is not None and not self.study.get_trials(deepcopy=False):
                self.study.enqueue_trial(first)

    def __enter__(self) -> Self:
        self._alive = self.sweep.lock(self.worker)
        self._alive.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.release()

    def left(self) -> int:
        """Trials that are still to be completed or pruned."""
        return self.n_trials - len(self._trials(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def has_failed(self) -> bool:
        """Whether too many trials have failed."""
        failed = [trial for trial in self._trials(TrialState.FAIL) if "repeated" not in trial.user_attrs]
        return len(failed) >= self.max_failed

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
            values = [_value(job, metric) for metric in self.metrics]
            wrong = [metric for metric, value in zip(self.metrics, values, strict=True) if not math.isfinite(value)]
            if wrong:
                self._fail(trial, f"{wrong[0]} is not there, or not finite")
            else:
                self.study.tell(number, values, skip_if_finished=True)
        else:
            self._fail(trial, job.reason or job.state)

    def _propose(self) -> Trial | None:
        for _ in range(_MAX_REPEATED):
            trials = self.study.get_trials(deepcopy=False)
            made = sum(trial.state != TrialState.WAITING for trial in trials)
            seed = int(np.random.SeedSequence([self.seed, made]).generate_state(1)[0])
            self.study.sampler = make_sampler(self._sampler, seed)
            trial = self.study.ask()
            overrides = self.space.suggest(trial)
            same = [
                t for t in trials if t.params == trial.params and t.state not in (TrialState.WAITING, TrialState.FAIL)
            ]
            if not same:
                self._note(self._trial(trial.number), worker=self.worker, overrides=list(overrides), attempts=1)
                return Trial(trial.number, overrides, False)
            self._note(self._trial(trial.number), repeated=same[0].number)
            self.study.tell(trial, state=TrialState.FAIL)
        logging.getLogger(__name__).warning("the search proposes nothing new: its space may be exhausted")
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
        return Trial(trial.number, tuple(trial.user_attrs["overrides"]), True)

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


class Pruner:
    """Whether a trial ends early, asked in the process of its job with the scores of each evaluation.

    Args:
        sweep: the search's directory.
        number: of the trial.
    """

    def __init__(self, sweep: SweepDirectory, number: int) -> None:
        record = sweep.record()
        self.metrics, self.number = record["metrics"], number
        self._pruner, self._storage = make_pruner(record["pruner"]), _storage(sweep)
        self._study = optuna.load_study(study_name=_STUDY, storage=self._storage)

    def __call__(self, step: int, scores: Mapping[str, Any]) -> bool:
        """Report the score of this step; True: end it. Of several objectives nothing is pruned."""
        score = scores.get(self.metrics[0].removeprefix("eval/"))
        trial = self._study.get_trials(deepcopy=False)[self.number]
        if score is None or len(self.metrics) > 1 or trial.state != TrialState.RUNNING:
            return False
        self._storage.set_trial_intermediate_value(trial._trial_id, step, score.value)
        return bool(self._pruner.prune(self._study, self._storage.get_trial(trial._trial_id)))


def make_sampler(settings: Mapping[str, Any], seed: int) -> BaseSampler:
    """Optuna's sampler by our name.

    Raises:
        UserError: for an unknown name, or what it does not take.
    """
    if settings.get("name") == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise UserError("hydra.sweeper.sampler: cmaes needs its package: pip install cmaes")
    return _make("sampler", SAMPLERS, optuna.samplers, settings, seed=seed)


def make_pruner(settings: Mapping[str, Any]) -> BasePruner:
    """Optuna's pruner by our name.

    Raises:
        UserError: for an unknown name, or what it does not take.
    """
    return _make("pruner", PRUNERS, optuna.pruners, settings)


def _make(key: str, known: Mapping[str, str], module: Any, settings: Mapping[str, Any], **more: Any) -> Any:
    values = dict(settings)
    name = str(values.pop("name", None)).lower()
    if name not in known:
        raise UserError(f"hydra.sweeper.{key}.name: there is no {name!r}; {nearest(name, known)}")
    try:
        return getattr(module, known[name])(**more, **values)
    except (TypeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.{key}: {error}") from None


def _value(job: Job, metric: str) -> float:
    """The best of a metric that has one, else its last; NaN where it is missing."""
    value = job.best.get("value") if job.best.get("metric") == metric else job.summary.get("metrics", {}).get(metric)
    try:
        return float("nan" if value is None else value)
    except (TypeError, ValueError):
        return math.nan


def _storage(sweep: SweepDirectory) -> JournalStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalStorage(JournalFileBackend(str(sweep.journal)))
