"""What came of the jobs of a sweep: settings with their seeds together, best first.

Nothing here needs torch, so that a report over a hundred runs opens in a second.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ebm_exp.config.tree import look_up
from ebm_exp.sweep.directory import EMPTY, MOST_KEYS, Job, SweepDirectory
from ebm_exp.text import finite, number, with_error

SEED = "seed"  # jobs that differ in it alone are one setting
STATES = ("finished", "pruned", "diverged", "failed", "stopped", "running", "killed", "waiting", "unreadable")


class Mean(NamedTuple):
    """Of a metric over the finished jobs of a setting.

    Attributes:
        value: the mean.
        se: its standard error over seeds; None with one seed.
        n: seeds.
    """

    value: float
    se: float | None
    n: int

    def __str__(self) -> str:
        return number(self.value) if self.se is None else with_error(self.value, self.se)


class Setting(NamedTuple):
    """Jobs that differ in nothing but the seed.

    Attributes:
        values: what the sweep sets in them, as text, the seed left out.
        jobs: by their number.
        means: by metric; without those that no job has finished with.
        is_default: these values hold without the sweep too.
        in_front: no other setting is better in one metric and as good in all others.
    """

    values: dict[str, str]
    jobs: tuple[Job, ...]
    means: dict[str, Mean]
    is_default: bool = False
    in_front: bool = False

    @property
    def n(self) -> int:
        """Seeds that its means are over."""
        return max((mean.n for mean in self.means.values()), default=0)

    @property
    def seeds(self) -> str:
        """``3``, or ``2 of 3`` where some have no value."""
        return str(self.n) if self.n == len(self.jobs) else f"{self.n} of {len(self.jobs)}"


class Results(NamedTuple):
    """What came of a sweep.

    Attributes:
        sweep: its files.
        record: its sweep.json.
        jobs: those that have begun, by their number.
        keys: what varies, the seed left out.
        metrics: what is optimized.
        directions: ``lower`` or ``higher`` by metric.
        settings: best first; with several metrics those of the Pareto front first; without a mean last.
        counts: of jobs by state, in the order of ``STATES``.
    """

    sweep: SweepDirectory
    record: dict[str, Any]
    jobs: list[Job]
    keys: list[str]
    metrics: list[str]
    directions: dict[str, str]
    settings: list[Setting]
    counts: dict[str, int]

    @property
    def finished(self) -> list[Job]:
        """Jobs that have finished."""
        return [job for job in self.jobs if job.state == "finished"]

    @property
    def ranked(self) -> list[Setting]:
        """Settings that have a mean, best first."""
        return [each for each in self.settings if each.means]

    @property
    def is_search(self) -> bool:
        """Whether trials were proposed one by one, and not all combinations run."""
        return self.record.get("kind") == "search"

    @property
    def several(self) -> bool:
        """Whether more than one metric is optimized."""
        return len(self.metrics) > 1

    def sign(self, metric: str) -> int:
        """What makes a lower value of a metric the better one: 1, or -1."""
        return 1 if self.directions[metric] == "lower" else -1

    def score(self, job: Job, metric: str) -> float | None:
        """What a job reached in a metric; None: nothing finite."""
        return score(job, metric, not self.several)

    @property
    def to_come(self) -> int:
        """Jobs that have not begun; of a search, trials that are not complete: its seeds together are one."""
        return 0 if self.is_search and self.record.get("complete") else self.left

    @property
    def left(self) -> int:
        """Those to come, and those of which a search found nothing new in its space."""
        n, n_seeds = int(finite(self.record.get("n")) or 0), max(1, len(self.record["seeds"]))
        if not self.is_search:
            return max(0, n - len(self.jobs))
        tried = [setting.jobs for setting in self.settings] if n_seeds > 1 else [(job,) for job in self.jobs]
        states = [Counter(job.state for job in jobs) for jobs in tried]
        return max(0, n - sum(each["pruned"] > 0 or each["finished"] >= n_seeds for each in states))


def read(sweep: SweepDirectory) -> Results:
    """What came of a sweep so far; files that are torn or missing leave gaps and no error."""
    record, jobs = sweep.record() or dict(EMPTY), sweep.jobs()
    every = record["keys"] or dict.fromkeys(key for job in jobs for key in job.values)
    keys = [key for key in every if key != SEED][:MOST_KEYS]
    metrics = (
        record["metrics"][:MOST_KEYS] or list(dict.fromkeys(m for job in jobs if (m := job.best.get("metric"))))[:1]
    )
    said = {metric: record["directions"].get(metric) for metric in metrics}
    directions = {m: s if s in ("lower", "higher") else _direction(m, jobs) for m, s in said.items()}
    groups: dict[tuple[tuple[str, str], ...], list[Job]] = {}
    for job in jobs:
        if job.state != "unreadable":
            groups.setdefault(tuple((key, text) for key, text in job.values.items() if key != SEED), []).append(job)
    settings = [
        Setting(dict(values), tuple(group), _means(group, metrics), _is_default(dict(values), group[0], record))
        for values, group in groups.items()
    ]
    states = Counter(job.state for job in jobs)
    counts = {state: states[state] for state in (*STATES, *sorted(states.keys() - set(STATES))) if states[state]}
    return Results(sweep, record, jobs, keys, metrics, directions, _order(settings, metrics, directions), counts)


def score(job: Job, metric: str, alone: bool = True) -> float | None:
    """What a job reached in a metric; None: nothing finite, or what its own evidence refutes.

    Args:
        job: the job.
        metric: as logged, ``eval/mmd2``.
        alone: it is the only metric optimized: its best evaluation counts. Of several, the values of the last one do,
            which belong together.
    """
    best = job.best
    if alone and best.get("metric", metric) == metric and "value" in best:
        return finite(best["value"])
    last, refuted = job.summary.get("metrics"), job.summary.get("refuted")
    if isinstance(refuted, Mapping) and metric in refuted:
        return None
    return finite(last.get(metric)) if isinstance(last, Mapping) else None


def _direction(metric: str, jobs: Iterable[Job]) -> str:
    said = (job.best.get("better") for job in jobs if job.best.get("metric", metric) == metric)
    return next((each for each in said if each), "lower")


def _means(jobs: Iterable[Job], metrics: Sequence[str]) -> dict[str, Mean]:
    means = {}
    for metric in metrics:
        scores = [score(job, metric, len(metrics) == 1) for job in jobs if job.state == "finished"]
        values = [value for value in scores if value is not None]
        if values:
            se = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
            means[metric] = Mean(statistics.fmean(values), se, len(values))
    return means


def _is_default(values: Mapping[str, str], job: Job, record: Mapping[str, Any]) -> bool:
    def is_same(key: str, text: str) -> bool:
        node, default = look_up(job.config, key), record["defaults"].get(key)
        if node is None or isinstance(node, Mapping):  # the choice of a group, or no config
            return text == str(default)
        return bool(node == default)

    if not record["defaults"] or not values:  # where seeds alone vary, there is nothing else to tell it from
        return False
    return all(is_same(key, text) for key, text in values.items())


def _order(settings: list[Setting], metrics: Sequence[str], directions: Mapping[str, str]) -> list[Setting]:
    def costs(setting: Setting) -> list[float]:
        signed = ((setting.means.get(m), 1 if directions[m] == "lower" else -1) for m in metrics)
        return [math.inf if mean is None else sign * mean.value for mean, sign in signed]

    known = {i: costs(setting) for i, setting in enumerate(settings)}

    least = min(known.values(), default=[])

    def is_beaten(mine: list[float]) -> bool:
        if len(metrics) == 1:
            return mine != least
        return any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in known.values())

    marked = [s._replace(in_front=bool(s.means) and not is_beaten(known[i])) for i, s in enumerate(settings)]
    several = len(metrics) > 1
    order = sorted(known, key=lambda i: (several and not marked[i].in_front, known[i], i))
    return [marked[i] for i in order]
