"""A grid: every combination of the values typed, matched with what is there by what each job is."""

import json

from ebm_exp.config.compose import resolve
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import GROUPS
from ebm_exp.config.override import Override
from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper.command import Command
from ebm_exp.sweeper.plan import Planned, differences, grid, keys_of, telling, wishes
from ebm_exp.sweeper.worker import Worker, at_work, leave, tell_start

_DONE = {"finished", "pruned"}


def run(command: Command) -> None:
    """Run what is left of a sweep.

    Raises:
        UserError: for a job that cannot be composed or is not allowed, before any is begun; a directory of another
            command.
        SystemExit: 1 if a job failed, 3 if one diverged, 128 + the signal that stopped it.
    """
    every = list(grid(command.overrides))
    composed = [command.compose(arguments) for _, arguments in every]
    jobs = [Planned(i, *each, resolve(config)) for i, (each, config) in enumerate(zip(every, composed, strict=True))]
    new, retry = wishes(jobs[0].config)
    sweep, is_there = command.find(composed, jobs[0].config, new)
    if not is_there:
        jobs = [_check(job, len(jobs)) for job in jobs]
        _refuse_twins(jobs)
        config, keys = jobs[0].config, keys_of(command.overrides)
        record = command.describe("grid", config, keys, [config["optimized_metric"]], {}, n=len(jobs))
        sweep, is_there = command.begin(composed, config, new, record)
    if is_there:
        jobs = _numbered_as_before(command, sweep, jobs)
        checked = {job.number: _check(job, len(jobs)) for job in jobs if _is_left(sweep, job, retry)}
        jobs = [checked.get(job.number, job) for job in jobs]  # as it was cast, a job may be the one that is there
    left = [job for job in jobs if _is_left(sweep, job, retry)]
    tell_start(command, sweep, is_there, len(jobs), "jobs")
    _tell_changed(sweep, left)

    def how_many() -> int:
        return sum(_is_left(sweep, job, retry=False) for job in jobs)

    with at_work(command, sweep, len(jobs), "jobs", how_many) as worker:
        _work(worker, jobs, left, retry)
    leave(job.state for job in sweep.jobs())


def _numbered_as_before(command: Command, sweep: SweepDirectory, jobs: list[Planned]) -> list[Planned]:
    """Jobs under the numbers they had when the sweep began: the same values may be typed in another order."""
    before = sweep.record()["arguments"]
    if telling(before) == telling(command.arguments):
        return jobs
    numbers = {frozenset(varied): i for i, (varied, _) in enumerate(grid(command.parse(before)))}
    return sorted(job._replace(number=numbers[frozenset(job.overrides)]) for job in jobs)


def _is_left(sweep: SweepDirectory, job: Planned, retry: bool) -> bool:
    there = sweep.job(job.number)
    if there is None or there.state in ("waiting", "killed", "stopped", "unreadable"):
        return True
    if there.state == "running":  # by another worker
        return False
    return (retry and there.state not in _DONE) or bool(differences(there.config, job.config))


def _tell_changed(sweep: SweepDirectory, left: list[Planned]) -> None:
    for job in left:
        there = sweep.job(job.number)
        if there is not None and there.state == "unreadable":
            print(f"job {job.number} cannot be read, is kept beside it and done anew", flush=True)
            continue
        changes = differences(there.config, job.config) if there else []
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            print(f"job {job.number} was another run and is done anew: {', '.join(changes[:3])}{more}", flush=True)


def _refuse_twins(jobs: list[Planned]) -> None:
    """Jobs whose values are one, written in two ways, ``seed=0,0.0``, would be counted as two.

    Two choices of a group that say the same are two names, and may stay.

    Raises:
        UserError: naming the first two.
    """
    known: dict[str, Planned] = {}
    for job in jobs:
        other = known.setdefault(json.dumps(job.config, sort_keys=True, default=str), job)
        typed = [each for each in zip(other.overrides, job.overrides, strict=True) if each[0] != each[1]]
        if typed and not any(Override.read(word).group in GROUPS for word, _ in typed):
            one, two = map(" ".join, zip(*typed, strict=True))
            raise UserError(f"{one} and {two} are one and the same job; give it once")


def _check(job: Planned, n: int) -> Planned:
    """The job with its config cast.

    Raises:
        UserError: for one that is not allowed.
    """
    from ebm_exp.trainer.build import check  # late: it imports torch, and a sweep that is finished needs none

    try:
        return job._replace(config=check(job.config))
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
