"""An experiment from its config: every part of a training, built and checked before the first step."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from torch.nn.modules.batchnorm import _BatchNorm

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.trust import ANY, OURS, Allowed
from ebm_exp.config.validate import validate
from ebm_exp.dataset.base import Dataset
from ebm_exp.dataset.check import list_names
from ebm_exp.evaluator import Evaluator
from ebm_exp.metrics import SCORE
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.trainer.experiment import Experiment

log = logging.getLogger(__name__)


def check_data(dataset: Dataset, began_with: Mapping[str, Any]) -> None:
    """Refuse to go on with other data than a run began with.

    Args:
        dataset: the data now.
        began_with: ``Dataset.facts`` of then.

    Raises:
        UserError: with both numbers of points.
    """
    now = dataset.facts()
    if now["fingerprint"] != began_with.get("fingerprint"):
        raise UserError(
            f"dataset: is not the one that the run began with: {now['n_train']:,} training and {now['n_test']:,} test "
            f"points now, {began_with.get('n_train', 0):,} and {began_with.get('n_test', 0):,} then"
            + (", with other values" if now["n_train"] == began_with.get("n_train") else "")
        )


def choose_metric(metric: str | None, evaluators: Collection[Evaluator], typed: bool = True) -> str | None:
    """The metric that is optimized: the one of the config, if an evaluator says which end of it is better.

    Where that is gone, since the data do not let an evaluator give it, the score that ranks models as it does is taken
    instead; since another evaluator was chosen alone, the first score of that one. A line says so.
    Where one says nothing of its scores before it runs, nothing is refused.

    Args:
        metric: of the config.
        evaluators: of the experiment.
        typed: the metric was typed, and no other is meant.

    Raises:
        UserError: with those there are.
    """
    known = [SCORE(name) for each in evaluators for name in each.gives()]
    if metric is None or not known or not all(each.gives() for each in evaluators) or metric in known:
        return metric
    name = metric.removeprefix(SCORE(""))
    for each in evaluators:
        if not typed and name in each.instead:
            log.info("optimized_metric: %s, for these data give no %s", SCORE(each.instead[name]), metric)
            return SCORE(each.instead[name])
    if typed or len(evaluators) > 1:
        meant = nearest(metric if "/" in metric else SCORE(metric), known)
        raise UserError(f"optimized_metric: {metric} is no score that can be optimized; {meant}")
    log.warning("optimized_metric: %s, for the only evaluator gives no %s", known[0], metric)
    return known[0]


def check(config: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse what can be known to be wrong before any data is read: of a sweep, before its first job begins.

    Its user typed it: it may name any class.

    Args:
        config: resolved.

    Returns:
        The config cast, see ``validate``.

    Raises:
        UserError: naming the key.
    """
    cast = validate(config, ANY)
    parts = Parts(cast, allowed=ANY)
    for name in ("trainer", "logger"):
        parts[name]
    return cast


def check_metric(config: Mapping[str, Any], typed: bool) -> str | None:
    """The metric that a training of this config optimizes, see ``choose_metric``; its evaluators read the data.

    Raises:
        UserError: when its evaluators cannot be built, or give no such score.
    """
    metric: str | None = config["optimized_metric"]
    return metric and choose_metric(metric, Parts(config, allowed=ANY)["evaluator"].values(), typed)


def refuse_coupled(experiment: Experiment) -> None:
    """Refuse what depends on a batch otherwise than by a mean over it, where several processes share one.

    Raises:
        ValueError: naming it.
    """
    if experiment.ranks.alone:
        return
    for module in (*experiment.energy.modules(), *experiment.objective.modules()):
        if isinstance(module, _BatchNorm):
            name = type(module).__name__
            raise ValueError(f"energy: {name} takes statistics of a whole batch, of which each process has a part")
    terms = getattr(experiment.objective, "terms", {})
    for name, each in {"objective": experiment.objective, **dict(terms.items())}.items():
        if each.couples:
            raise ValueError(f"{name}: couples the points of a batch, of which each process has a part")


def refuse_unseen(experiment: Experiment) -> None:
    """Refuse an energy of classes where no training point is of one of them: it would be drawn as if it were learned.

    Raises:
        ValueError: naming them.
    """
    unseen, energy = experiment.dataset.unseen_classes, experiment.energy
    if unseen and "y" in (*energy.context, *energy.optional):
        raise ValueError(
            f"energy: knows classes, and no training point is of {list_names(unseen)}; either more points, or "
            "dataset.classes=[…] with the others alone"
        )


def refuse_idle_normaliser(parts: Parts, experiment: Experiment) -> None:
    """Refuse a normaliser that the objective has no use for.

    Raises:
        ValueError: naming both.
    """
    if "normaliser" in parts.config and parts["normaliser"].active and not experiment.objective.normalises:
        name = type(experiment.objective).__name__
        raise ValueError(f"normaliser: goes with objective=dsm or flow_matching, {name} fits no noised data")


def build(
    config: Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
    allowed: Allowed = OURS,
    metric_typed: bool = True,
    ranks: Ranks = ALONE,
) -> tuple[Parts, Experiment]:
    """The parts of a training, with the states of a checkpoint, and the experiment they make.

    Args:
        config: resolved and validated.
        state: of a checkpoint; None: a new run.
        allowed: what may be built.
        metric_typed: the optimized metric was typed, and no other is meant.
        ranks: the processes that train it.

    Raises:
        UserError: when a part refuses its values, or the batch does not fit data or objective.
    """
    parts = Parts(config, state=None if state is None else state["parts"], allowed=allowed, ranks=ranks)
    for name in ("trainer", "logger"):  # refuses its own values before anything is written
        parts[name]
    dataset, batch_size, n_parts = parts["dataset"], parts["trainer"].batch_size, parts["trainer"].accumulate_steps
    if batch_size % (n_parts * ranks.n):
        each = f"{ranks.n} processes" + (f" in {n_parts} parts (accumulate_steps)" if n_parts > 1 else "")
        raise UserError(f"trainer: batch_size must be a multiple of {n_parts * ranks.n} for {each}, got {batch_size}")
    if batch_size > dataset.n_train:
        most = dataset.n_train
        raise UserError(f"trainer: batch_size must be at most {most}, the training points, got {batch_size}")
    experiment = Experiment.of(parts)
    metric = choose_metric(experiment.optimized_metric, experiment.evaluators.values(), metric_typed)
    experiment = experiment._replace(optimized_metric=metric, config={**config, "optimized_metric": metric})
    try:
        refuse_coupled(experiment)
        refuse_unseen(experiment)
        refuse_idle_normaliser(parts, experiment)
        experiment.objective.check(experiment)
    except ValueError as error:
        raise UserError(str(error)) from error
    return parts, experiment
