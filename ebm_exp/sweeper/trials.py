"""A search: trials that Optuna proposes, run as the jobs of a grid are; the same command goes on, or joins."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ebm_exp.config.errors import UserError
from ebm_exp.config.override import key_of
from ebm_exp.metrics import SCORE
from ebm_exp.shell import typed
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.plan import FORMAT, Composer, Planned, find, has_typed, identity, moved, resolved, wishes
from ebm_exp.sweeper.search import Search, Trial
from ebm_exp.sweeper.space import Space
from ebm_exp.sweeper.worker import Worker, at_work, tell_start
from ebm_exp.types import NonNegativeInt, PositiveInt


class Settings:
    """The keys of ``hydra.sweeper``.

    Args:
        n_trials: complete and pruned ones in all.
        max_failed: so many failed or diverged ones end the search.
        params: what is searched, ``{key: "interval(…)"}``; keys on the command line come to them, or win.
        when: params of some choices alone, ``{"sampler=hmc": {key: "range(…)"}}``.
        metrics: what is optimized; null: ``optimized_metric``. Several: their Pareto front.
        directions: ``lower`` or ``higher`` by metric; null: as the evaluators say.
        sampler: ``{name: tpe | gp | random | nsga2 | cmaes, …}``, the rest for Optuna's class.
        pruner: ``{name: median | hyperband | halving | none, …}``, likewise.
        seed: of the proposals.
        enqueue_default: the first trial has the values that hold without the search.
        at_once: trials that a parallel launcher gets at once; null: its n_jobs.

    Raises:
        UserError: naming the key.
    """

    def __init__(
        self,
        *,
        n_trials: PositiveInt,
        max_failed: PositiveInt = 8,
        params: dict[str, str] | None = None,
        when: dict[str, dict[str, str]] | None = None,
        metrics: tuple[str, ...] | None = None,
        directions: dict[str, Literal["lower", "higher"]] | None = None,
        sampler: dict[str, Any] | None = None,
        pruner: dict[str, Any] | None = None,
        seed: NonNegativeInt = 0,
        enqueue_default: bool = True,
        at_once: PositiveInt | None = None,
    ) -> None:
        self.n_trials, self.max_failed, self.seed, self.at_once = n_trials, max_failed, seed, at_once
        self.params, self.when = {k: str(v) for k, v in (params or {}).items()}, when or {}
        self.metrics, self.directions = list(metrics or ()), directions or {}
        self.sampler, self.pruner = sampler or {"name": "tpe"}, pruner or {"name": "median"}
        self.enqueue_default = enqueue_default


def settings_of(values: Mapping[str, Any]) -> Settings:
    """The settings, checked.

    Raises:
        UserError: with a line for each wrong key.
    """
    from ebm_exp.config.signature import arguments
    from ebm_exp.config.validate import check_arguments, coerce

    errors: list[str] = []
    check_arguments("hydra.sweeper.", Settings, values, errors)
    if errors:
        raise UserError("\n".join(errors[:3]))
    annotations = {name: parameter.annotation for name, parameter in arguments(Settings).items()}
    return Settings(**{key: coerce(annotations[key], value) for key, value in values.items()})


def run(
    context: HydraContext, task: TaskFunction, master: DictConfig, arguments: list[str], values: Mapping[str, Any]
) -> None:
    """Search, or go on with a search.

    Raises:
        UserError: for what no trial could be run with, before the first one.
        SystemExit: 1 if too many trials failed, 128 + the signal that stopped it.
    """
    from ebm_exp.config.build import check

    settings, composer = settings_of(values), Composer(context.config_loader, master)
    overrides = composer.parse(arguments)
    fixed = [each.input_line or "" for each in overrides if not each.is_sweep_override()]
    given = {key_of(each) for each in arguments}
    varied = [f"{key}={text}" for key, text in settings.params.items() if key not in given]
    varied += [each.input_line or "" for each in overrides if each.is_sweep_override()]
    space = Space.parse(varied, settings.when)
    composed = composer.compose(fixed)
    config = resolved(composed)
    check(config)
    new, _ = wishes(config)
    is_given = has_typed(master, "hydra.sweep.dir")
    wanted = Path(str(composed.hydra.sweep.dir)) if is_given else composer.directory([composed])
    sweep, is_there = find(wanted, arguments, config, given=is_given, new=new)
    described = {"params": varied, "when": settings.when}
    if not is_there:
        metrics = settings.metrics or [config["optimized_metric"]]
        record = {
            "format": FORMAT, "name": config["name"], "kind": "search", "command": typed(),
            "overrides": identity(arguments), "arguments": arguments, "keys": space.keys,
            "defaults": composer.defaults(fixed, space.keys), "metrics": metrics,
            "directions": _directions(config, metrics, settings.directions), "space": described,
            "pruner": settings.pruner, "began": time.strftime("%Y-%m-%dT%H:%M:%S"),
        }  # fmt: skip
    else:
        record = sweep.record()
        if record["space"] != described:
            raise UserError(f"sweep: {sweep.path} searches another space; sweep=new begins another search")
    sweep.write_record(record | {"n": settings.n_trials, "complete": False})
    tell_start(sweep, is_there, settings.n_trials, "trials", moved(record, arguments))
    search = Search(
        sweep,
        space,
        record["directions"],
        n_trials=settings.n_trials,
        max_failed=settings.max_failed,
        sampler=settings.sampler,
        pruner=settings.pruner,
        seed=settings.seed,
        defaults=_first(space, record["defaults"], is_there) if settings.enqueue_default else None,
    )
    with at_work(sweep, context, task, master, settings.n_trials, "trials", search.left) as worker, search:
        _work(worker, search, composer, fixed, settings.at_once or worker.at_once)
        if (why := search.why_none()) is not None:
            print(f"the search ends: {why}", flush=True)
    sweep.write_record(sweep.record() | {"complete": search.left() <= 0 or search.is_exhausted})
    if search.has_failed:
        raise SystemExit(1)


def _first(space: Space, defaults: Mapping[str, Any], is_there: bool) -> dict[str, Any] | None:
    """The values of the first trial, which hold without the search."""
    try:
        return space.trial_of(defaults)
    except LookupError as error:
        if not is_there:
            print(f"the default is not tried: {error.args[0]} lies outside of the search", flush=True)
        return None


def _work(worker: Worker, search: Search, composer: Composer, fixed: list[str], at_once: int) -> None:
    while True:
        trials: list[Trial] = []
        while len(trials) < at_once and (trial := search.next()) is not None:
            trials.append(trial)
        if not trials:
            return
        planned = [job for trial in trials if (job := _plan(worker.sweep, composer, fixed, trial)) is not None]
        try:
            if planned:
                worker.launch(planned)
        finally:
            for trial in trials:
                search.tell(trial.number, worker.sweep.job(trial.number))


def _plan(sweep: SweepDirectory, composer: Composer, fixed: list[str], trial: Trial) -> Planned | None:
    """The job of a trial; None for one that is not allowed, whose summary says why."""
    from ebm_exp.config.build import check

    arguments = (*fixed, *trial.overrides)
    config: dict[str, Any] = {}
    try:
        config = resolved(composer.compose(arguments))
        check(config)
    except UserError as error:
        sweep.claim(trial.number, trial.overrides, config)
        sweep.run(trial.number).write_summary({"state": "failed", "reason": "; ".join(str(error).splitlines())})
        return None
    return Planned(trial.number, trial.overrides, arguments, config)


def _directions(
    config: Mapping[str, Any], metrics: Sequence[str | None], given: Mapping[str, str]
) -> dict[str | None, str]:
    """Which way each metric is better: as given, or as the evaluators say; building them finds what no trial could run.

    Raises:
        UserError: for a metric that is not evaluated.
    """
    from ebm_exp.config.build import Parts
    from ebm_exp.config.trust import ANY
    from ebm_exp.trainer.build import check_metric

    if None in metrics:
        raise UserError("optimized_metric: a search needs one")
    evaluators = Parts(config, allowed=ANY)["evaluator"].values()
    known = {SCORE(name): kind.better for each in evaluators for name, kind in each.gives().items()}
    for metric in metrics:
        if metric not in given:
            check_metric(metric, evaluators)
        if metric not in given and metric not in known:
            raise UserError(f"hydra.sweeper.directions: must say lower or higher for {metric}")
    return {metric: given.get(metric or "") or known[metric or ""] for metric in metrics}
