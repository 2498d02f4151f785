"""Optuna's study of a search: its journal, its parts by our names, and the pruner that a job asks."""

import importlib.util
import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ebm_exp.config.errors import UserError, nearest
from ebm_exp.metrics import SCORE
from ebm_exp.sweep.directory import SweepDirectory

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


class Pruner:
    """Whether a trial ends early, asked in the process of its job with the scores of each evaluation.

    Args:
        sweep: the search's directory.
        number: of the trial.
    """

    def __init__(self, sweep: SweepDirectory, number: int) -> None:
        record = sweep.record()
        self.metrics, self.number = record["metrics"], number
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
        self._storage.set_trial_intermediate_value(trial._trial_id, step, score.value)
        return bool(self._pruner.prune(self._study, self._storage.get_trial(trial._trial_id)))


def storage(sweep: SweepDirectory) -> JournalStorage:
    """The journal of a search."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return JournalStorage(JournalFileBackend(str(sweep.journal)))


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
