"""A grid: every combination of the values typed, matched with what is there by what each job is."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

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
    keys = keys_of(command.overrides)
    sweep, is_there = command.find(composed, jobs[0].config, new)
    if not is_there:
        jobs = _check(jobs, len(jobs))
        _refuse_twins(jobs)
        metrics = _choose_metrics(jobs, command.has("optimized_metric"))
        record = command.describe("grid", jobs[0].config, keys, metrics, {}, n=len(jobs))
        sweep, is_there = command.begin(composed, jobs[0].config, new, record)
    if is_there:
        jobs = _numbered_as_before(command, sweep, jobs)
        checked = {
            job.number: job for job in _check([each for each in jobs if _is_left(sweep, each, retry)], len(jobs))
        }
        jobs = [checked.get(job.number, job) for job in jobs]  # as it was cast, a job may be the one that is there
    left = [job for job in jobs if _is_left(sweep, job, retry)]
    if is_there and (record := sweep.record()) != (now := record | {"kind": "grid", "keys": keys, "n": len(jobs)}):
        sweep.write_record(now)  # what its jobs read of it is what was typed
    tell_start(command, sweep, is_there, len(jobs), "jobs")
    _tell_changed(sweep, left)

    def how_many() -> int:
        return sum(_is_left(sweep, job, retry=False) for job in jobs)

    with at_work(command, sweep, len(jobs), "jobs", how_many) as worker:
        _work(worker, jobs, left, retry)
    leave(job.state for job in sweep.jobs())


def _numbered_as_before(command: Command, sweep: SweepDirectory, jobs: list[Planned]) -> list[Planned]:
    """Jobs under the numbers they had when the sweep began: the same values may be typed in another order.

    Raises:
        UserError: when the sweep does not say the same values.
    """
    before, now = telling(sweep.record()["arguments"]), telling(command.arguments)
    if before == now:
        return jobs
    if sorted(before) != sorted(now):
        raise UserError(f"sweep: {sweep.file} is not of this command alone; sweep=new begins another")
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


def _check(jobs: list[Planned], n: int) -> list[Planned]:
    """Jobs with their configs cast.

    Raises:
        UserError: for the first that is not allowed.
    """
    from ebm_exp.trainer.build import check  # late: it imports torch, and a sweep that is finished needs none

    cast = []
    for job in jobs:
        with _named(job, n):
            cast.append(job._replace(config=check(job.config)))
    return cast


def _choose_metrics(jobs: list[Planned], typed: bool) -> list[str | None]:
    """The metric of the sweep, that of its first job.

    Evaluators are built once for each way that they and the data are chosen, which may read the data.

    Args:
        jobs: all of the sweep.
        typed: the metric was typed.

    Raises:
        UserError: for the first job whose evaluators give no such score.
    """
    from ebm_exp.trainer.build import check_metric  # late: it imports torch

    metrics: dict[str, str | None] = {}
    for job in jobs:
        decisive = json.dumps(
            [job.config.get(key) for key in ("dataset", "evaluator", "optimized_metric")], default=str
        )
        if decisive not in metrics:
            with _named(job, len(jobs)):
                metrics[decisive] = check_metric(job.config, typed)
    return list(metrics.values())[:1]


@contextmanager
def _named(job: Planned, n: int) -> Iterator[None]:
    """A refusal says which job it is of."""
    try:
        yield
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
