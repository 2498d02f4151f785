"""A search: trials that Optuna proposes, run as the jobs of a grid are; the same command goes on, or joins."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from ebm_exp.config.compose import resolve
from ebm_exp.config.errors import UserError
from ebm_exp.config.override import key_of
from ebm_exp.metrics import SCORE
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweep.settings import SEED
from ebm_exp.sweeper.command import Command
from ebm_exp.sweeper.plan import Planned, values_of, wishes
from ebm_exp.sweeper.search import Search, Trial
from ebm_exp.sweeper.settings import settings_of
from ebm_exp.sweeper.space import Space
from ebm_exp.sweeper.worker import Worker, at_work, tell_start
from ebm_exp.text import finite


def run(command: Command, values: Mapping[str, Any]) -> None:
    """Search, or go on with a search.

    Args:
        command: what was typed.
        values: of ``hydra.sweeper``.

    Raises:
        UserError: for what no trial could be run with, before the first one.
        SystemExit: 1 if too many trials failed, 128 + the signal that stopped it.
    """
    from ebm_exp.trainer.build import check, check_metric

    settings = settings_of(values)
    given = {key_of(each) for each in command.arguments}
    params = [f"{key}={text}" for key, text in settings.params.items() if key not in given]
    params += command.varied
    seeds = _read_seeds(command, params)
    space = Space.parse([each for each in params if key_of(each) != SEED], settings.when)
    composed, config = _compose(command, space)
    config = check(config)
    new, _ = wishes(config)
    sweep, is_there = command.find([composed], config, new)
    metrics: list[str | None] = [*settings.metrics] or [check_metric(config, command.has("optimized_metric"))]
    directions = _directions(config, metrics, settings.directions)
    described = {"params": params, "when": settings.when}
    keys = [*space.keys, *([SEED] if seeds else [])]
    if not is_there:
        more = {"space": described, "seeds": seeds, "pruner": settings.pruner}
        record = command.describe("search", config, keys, metrics, directions, **more)
        sweep, is_there = command.begin([composed], config, new, record)
    record = sweep.record()
    for what, same in {
        "another space": (record["space"], record["seeds"]) == (described, seeds),
        "for another metric": (record["metrics"], record["directions"]) == (metrics, directions),
    }.items():
        if not same:
            raise UserError(f"sweep: {sweep.path} searches {what}; sweep=new begins another search")
    # What its jobs read of it is what was typed.
    record |= {"kind": "search", "keys": keys, "seeds": seeds, "pruner": settings.pruner}
    record |= {"n": settings.n_trials, "complete": False}
    n_seeds = max(1, len(seeds))
    tell_start(command, sweep, is_there, settings.n_trials * n_seeds, "jobs" if seeds else "trials")
    first = _first(space, record["defaults"], is_there) if settings.enqueue_default else None
    search = Search(sweep, space, directions, settings, first, tuple(seeds))
    sweep.write_record(record)
    with at_work(command, sweep, settings.n_trials * n_seeds, "trials", search.left) as worker, search:
        _work(worker, search, command, settings.at_once or max(1, worker.at_once // n_seeds))
        if (why := search.why_none()) is not None:
            print(f"the search ends: {why}", flush=True)
        sweep.write_record(sweep.record() | {"complete": search.left() <= 0 or search.is_exhausted})
    if search.has_failed:
        raise SystemExit(1)


def _read_seeds(command: Command, params: Sequence[str]) -> list[str]:
    """The seeds that each proposal is repeated with, where several are given: a seed is no setting to be searched.

    Raises:
        UserError: for an interval of them.
    """
    for override in command.parse([each for each in params if key_of(each) == SEED]):
        if not override.is_discrete_sweep():
            raise UserError(f"{SEED}: repeats each proposal, so it takes values: {SEED}=0,1,2")
        seeds = values_of(override)
        numbers = {finite(seed) for seed in seeds}
        if len(numbers) < len(seeds) and None not in numbers:
            raise UserError(f"{SEED}: {', '.join(seeds)} has one seed twice, written in two ways")
        return seeds
    return []


def _compose(command: Command, space: Space) -> tuple[DictConfig, dict[str, Any]]:
    """A job of the search: the one that holds without it, or one of the space where a key of that has no default."""
    composed = command.compose(command.fixed)
    try:
        return composed, resolve(composed)
    except MissingMandatoryValue:
        composed = command.compose([*command.fixed, *space.example()])
        return composed, resolve(composed)


def _first(space: Space, defaults: Mapping[str, Any], is_there: bool) -> dict[str, Any] | None:
    """The values of the first trial, which hold without the search."""
    try:
        return space.trial_of(defaults)
    except LookupError as error:
        if not is_there:
            print(f"the default is not tried: {error.args[0]} lies outside of the search", flush=True)
        return None


def _work(worker: Worker, search: Search, command: Command, at_once: int) -> None:
    while True:
        trials: list[Trial] = []
        while len(trials) < at_once and (trial := search.next()) is not None:
            trials.append(trial)
        if not trials:
            return
        planned = [_plan(worker.sweep, command, trial) for trial in trials]
        try:
            _launch(worker, planned)
        finally:
            for trial in trials:
                search.tell(trial.number)


def _launch(worker: Worker, planned: Sequence[Sequence[Planned]]) -> None:
    """Run the jobs of trials; where they run one after the other, the first that is pruned or ill ends its trial."""
    if not worker.is_basic:
        if every := [job for jobs in planned for job in jobs]:
            worker.launch(every)
        return
    for jobs in planned:
        for job in jobs:
            worker.launch([job])
            if (done := worker.sweep.job(job.number)) is None or done.state != "finished":
                break


def _plan(sweep: SweepDirectory, command: Command, trial: Trial) -> list[Planned]:
    """The jobs of a trial; none of one that is not allowed, whose first summary says why."""
    from ebm_exp.trainer.build import check

    planned = []
    for number, overrides in trial.jobs():
        arguments = (*command.fixed, *overrides)
        config: dict[str, Any] = {}
        try:
            config = resolve(command.compose(arguments))
            config = check(config)
        except UserError as error:
            sweep.claim(number, overrides, config)
            sweep.run(number).write_summary({"state": "failed", "reason": "; ".join(str(error).splitlines())})
            return []
        planned.append(Planned(number, overrides, arguments, config))
    return planned


def _directions(config: Mapping[str, Any], metrics: Sequence[str | None], given: Mapping[str, str]) -> dict[str, str]:
    """Which way each metric is better: as given, or as the evaluators say; building them finds what no trial could run.

    Raises:
        UserError: for a metric that is not evaluated.
    """
    from ebm_exp.config.build import Parts
    from ebm_exp.config.trust import ANY
    from ebm_exp.trainer.build import choose_metric

    wanted = [metric for metric in metrics if metric is not None]
    if len(wanted) < len(metrics):
        raise UserError("optimized_metric: a search needs one")
    evaluators = Parts(config, allowed=ANY)["evaluator"].values()
    known = {SCORE(name): kind.better for each in evaluators for name, kind in each.gives().items()}
    for metric in (each for each in wanted if each not in given):
        choose_metric(metric, evaluators)
        if metric not in known:
            raise UserError(f"hydra.sweeper.directions: must say lower or higher for {metric}")
    return {metric: given.get(metric) or known[metric] for metric in wanted}
