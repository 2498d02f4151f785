"""A grid: every combination of the values typed, matched with what is there by what each job is."""

import time
from collections.abc import Sequence
from pathlib import Path

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from ebm_exp.config.errors import UserError
from ebm_exp.shell import typed
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.plan import (
    FORMAT,
    Composer,
    Planned,
    differences,
    find,
    grid,
    has_typed,
    identity,
    keys_of,
    moved,
    resolved,
    telling,
    wishes,
)
from ebm_exp.sweeper.worker import Worker, at_work, leave, tell_start

_DONE = {"finished", "pruned"}


def run(context: HydraContext, task: TaskFunction, master: DictConfig, arguments: list[str]) -> None:
    """Run what is left of a sweep.

    Raises:
        UserError: for a job that cannot be composed or is not allowed, before any is begun; a directory of another
            command.
        SystemExit: 1 if a job failed, 3 if one diverged, 128 + the signal that stopped it.
    """
    composer = Composer(context.config_loader, master)
    jobs, composed, keys = _plan(composer, arguments)
    given = has_typed(master, "hydra.sweep.dir")
    wanted = Path(str(composed[0].hydra.sweep.dir)) if given else composer.directory(composed)
    new, retry = wishes(jobs[0].config)
    sweep, is_there = find(wanted, arguments, jobs[0].config, given=given, new=new)
    if is_there:
        jobs = _numbered_as_before(composer, sweep, jobs, arguments)
    left = [job for job in jobs if _is_left(sweep, job, retry)]
    for job in left:
        _check(job, len(jobs))
    if not is_there:
        fixed = [
            a for each, a in zip(composer.parse(arguments), arguments, strict=True) if not each.is_sweep_override()
        ]
        sweep.write_record(
            {
                "format": FORMAT, "name": jobs[0].config["name"], "kind": "grid", "command": typed(),
                "overrides": identity(arguments), "arguments": arguments, "keys": keys,
                "defaults": composer.defaults(fixed, keys), "metrics": [jobs[0].config["optimized_metric"]],
                "directions": {}, "n": len(jobs), "began": time.strftime("%Y-%m-%dT%H:%M:%S"),
            }
        )  # fmt: skip
    tell_start(sweep, is_there, len(jobs), "jobs", moved(sweep.record(), arguments))
    _tell_changed(sweep, left)

    def how_many() -> int:
        return sum(_is_left(sweep, job, retry=False) for job in jobs)

    with at_work(sweep, context, task, master, len(jobs), "jobs", how_many) as worker:
        _work(worker, jobs, left, retry)
    leave(job.state for job in sweep.jobs())


def _plan(composer: Composer, arguments: list[str]) -> tuple[list[Planned], list[DictConfig], list[str]]:
    overrides = composer.parse(arguments)
    every = list(grid(overrides))
    composed = [composer.compose(arguments_of_job) for _, arguments_of_job in every]
    jobs = [
        Planned(number, varied, taken, resolved(config))
        for number, ((varied, taken), config) in enumerate(zip(every, composed, strict=True))
    ]
    return jobs, composed, keys_of(overrides)


def _numbered_as_before(
    composer: Composer, sweep: SweepDirectory, jobs: list[Planned], arguments: Sequence[str]
) -> list[Planned]:
    """Jobs under the numbers they had when the sweep began: the same values may be typed in another order."""
    before = sweep.record()["arguments"]
    if telling(before) == telling(arguments):
        return jobs
    numbers = {frozenset(varied): i for i, (varied, _) in enumerate(grid(composer.parse(before)))}
    return sorted(job._replace(number=numbers[frozenset(job.overrides)]) for job in jobs)


def _is_left(sweep: SweepDirectory, job: Planned, retry: bool) -> bool:
    there = sweep.job(job.number)
    if there is None or there.state in ("waiting", "killed", "stopped"):
        return True
    if there.state == "running":  # by another worker
        return False
    return (retry and there.state not in _DONE) or bool(differences(there.config, job.config))


def _tell_changed(sweep: SweepDirectory, left: list[Planned]) -> None:
    for job in left:
        there = sweep.job(job.number)
        changes = differences(there.config, job.config) if there else []
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            print(f"job {job.number} was another run and is done anew: {', '.join(changes[:3])}{more}", flush=True)


def _check(job: Planned, n: int) -> None:
    from ebm_exp.config.build import check  # late: it imports torch, and a sweep that is finished needs none

    try:
        check(job.config)
    except UserError as error:
        where = f"in job {job.number + 1} of {n} ({' '.join(job.overrides)}); nothing was started"
        raise UserError("\n".join([*str(error).splitlines()[:2], where])) from None


def _work(worker: Worker, jobs: list[Planned], left: list[Planned], retry: bool) -> None:
    tried: set[int] = set()
    while left:
        n = worker.batch or len(left)
        for batch in [left[i : i + n] for i in range(0, len(left), n)]:
            still = [job for job in batch if _is_left(worker.sweep, job, retry)]  # another worker may have done it
            if still:
                worker.launch(still)
        tried |= {job.number for job in left}
        # What a worker that died meanwhile has left.
        left = [job for job in jobs if job.number not in tried and _is_left(worker.sweep, job, retry=False)]
