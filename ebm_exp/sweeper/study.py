"""Optuna's study of a search: its journal, its parts by our names, and the pruner that a job asks."""

import contextlib
import copy
import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from ebm_exp.config.errors import UNFIT, UserError, nearest, unfit
from ebm_exp.metrics import SCORE
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.space import Space
from ebm_exp.text import finite

NAME = "search"  # of the one study in a journal
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
_NOTED: dict[str, Any] = {"attempts": int, "repeated": int, "reason": str, "worker": str | None}  # of a trial


class Pruner:
    """Whether a trial ends early, asked in the process of its job with the scores of each evaluation.

    Where a proposal is repeated with several seeds, by the mean of those that have got to the step.

    Args:
        sweep: the search's directory.
        number: of the job.
    """

    def __init__(self, sweep: SweepDirectory, number: int) -> None:
        record = sweep.record()
        self.sweep, self.metrics, self.number = sweep, record["metrics"], number // max(1, len(record["seeds"]))
        self.others = [each for each in jobs_of(self.number, record["seeds"]) if each != number]
        self._pruner, self._storage = make_pruner(record["pruner"]), storage(sweep)
        self._study = optuna.load_study(study_name=NAME, storage=self._storage, pruner=self._pruner)

    def __call__(self, step: int, scores: Mapping[str, Any]) -> bool:
        """Report the score of this step; True: end it. Of several objectives, and by no number, nothing is pruned."""
        score = scores.get(SCORE.shorten(self.metrics[0]))
        trial = self._study.get_trials(deepcopy=False)[self.number]
        if len(self.metrics) > 1 or trial.state != TrialState.RUNNING:
            return False
        if score is None or score.refuted or not math.isfinite(score.value):
            return False
        rows = [row for number in self.others for row in self.sweep.run(number).metrics() if row["step"] == step]
        beside = [value for row in rows if (value := finite(row.get(self.metrics[0]))) is not None]
        self._storage.set_trial_intermediate_value(trial._trial_id, step, fmean([score.value, *beside]))
        trial = copy.deepcopy(self._storage.get_trial(trial._trial_id))
        # Another seed may have got further, alone: at this step the others are compared.
        trial.intermediate_values = {at: value for at, value in trial.intermediate_values.items() if at <= step}
        return bool(self._pruner.prune(self._study, trial))


def jobs_of(trial: int, seeds: Sequence[str]) -> range:
    """The numbers of the jobs of a trial, one for each seed; without any the trial's own."""
    n = max(1, len(seeds))
    return range(trial * n, (trial + 1) * n)


class _Lock(JournalFileOpenLock):
    """Who writes into the journal: as all locks of a sweep, for Optuna's own is a link, and outlives who held it."""

    def __init__(self, sweep: SweepDirectory) -> None:
        self._lock = sweep.lock("journal")

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def storage(sweep: SweepDirectory) -> JournalStorage:
    """The journal of a search.

    Raises:
        UserError: when it is none.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with reading(sweep):
        return JournalStorage(JournalFileBackend(str(sweep.journal), _Lock(sweep)))


@contextlib.contextmanager
def reading(sweep: SweepDirectory) -> Iterator[None]:
    """While the journal is read, which may come from anywhere.

    Raises:
        UserError: naming the journal, for what of it is not of this search.
    """
    try:
        yield
    except (*UNFIT, AssertionError) as error:
        raise UserError(f"sweep: {sweep.journal} is no journal of this search ({unfit(error)})") from None


def check_trial(trial: FrozenTrial, space: Space, n_values: int) -> None:
    """Refuse a trial that this search would not have proposed, or noted.

    Args:
        trial: of the journal.
        space: of the search.
        n_values: numbers that are optimized.

    Raises:
        ValueError: naming what of it is another's; an error of its kind for other types.
    """
    noted = trial.user_attrs
    for key, kind in _NOTED.items():
        if key in noted and not isinstance(noted[key], kind):
            raise ValueError(f"trial {trial.number}: {key} is {noted[key]!r:.80}")
    if trial.state == TrialState.WAITING:
        proposed = trial.system_attrs.get("fixed_params", {})
    elif "repeated" in noted or (trial.state == TrialState.RUNNING and "overrides" not in noted):
        return  # nothing was begun with it
    else:
        proposed = trial.params
    try:
        space.overrides(proposed)
    except LookupError as error:
        raise ValueError(f"trial {trial.number} lies outside of its space: {error.args[0]!s:.80}") from None
    values = [*(trial.values or []), *trial.intermediate_values.values()]
    if not all(isinstance(each, int | float) for each in values) or len(trial.values or []) not in (0, n_values):
        raise ValueError(f"trial {trial.number} has other values than {n_values} numbers")


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
