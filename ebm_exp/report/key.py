"""The keys of a sweep: as axes, with its finished jobs as points on them, and how much each matters by itself."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from ebm_exp.report.story import Story
from ebm_exp.report.svg import Places, Scale, scale
from ebm_exp.sweep.directory import Job
from ebm_exp.text import finite

BINS = 4  # of a key's numbers, where there are many
UNSET = "unset"  # in this job: the key belongs to another choice


class Sample(NamedTuple):
    """A finished job: what was set in it, as text and where possible as numbers, and what came out."""

    job: Job
    values: dict[str, str]
    numbers: dict[str, float]
    outcome: float
    kind: str


def finished(story: Story) -> list[Sample]:
    """The finished jobs that have an outcome."""
    kinds, scores = story.kinds(), [(job, story.results.score(job, story.metric)) for job in story.results.finished]
    return [_sample(story, job, value, kinds.get(job.number, "")) for job, value in scores if value is not None]


def ill(story: Story) -> list[Sample]:
    """The jobs that failed or diverged, with no outcome that counts."""
    return [_sample(story, job, 0.0, "") for job in story.results.jobs if job.is_ill]


def _sample(story: Story, job: Job, outcome: float, kind: str) -> Sample:
    values = {key: value for key, value in job.values.items() if key in story.results.keys}
    numbers = {key: n for key, value in values.items() if (n := finite(value)) is not None}
    return Sample(job, values, numbers, outcome, kind)


class Axis(NamedTuple):
    """A key as an axis: of numbers where all its values are, else of words.

    Attributes:
        key: in full.
        scale: values to places.
    """

    key: str
    scale: Scale | Places

    @classmethod
    def of(cls, known: Sequence[Sample], key: str) -> "Axis":
        """The axis that takes in all jobs; a few numbers are words too, in their order."""
        words = ordered(known, key)
        if len(words) <= 5 or any(finite(word) is None for word in words):
            return cls(key, Places(tuple(words)))
        return cls(key, scale(s.numbers[key] for s in known if key in s.numbers))

    def __call__(self, sample: Sample) -> float:
        """The place of a job, between 0 and 1."""
        if isinstance(self.scale, Places):
            return self.scale(sample.values.get(self.key, UNSET))
        return self.scale(sample.numbers[self.key])


def varying(story: Story) -> list[str]:
    """Keys with more than one value among the jobs."""
    seen = {key: {job.values.get(key) for job in story.results.jobs} for key in story.results.keys}
    return [key for key, values in seen.items() if len(values) > 1]


def ordered(known: Sequence[Sample], key: str) -> list[str]:
    """The values of a key, numbers by their size."""
    words = {s.values.get(key, UNSET) for s in known}
    return sorted(words, key=lambda w: (finite(w) is None, finite(w) or 0, w))


def share(groups: Sequence[Any], outcomes: Sequence[float]) -> float:
    """How much of the variance of the outcomes' ranks lies between groups, corrected for the number of groups (ε²).

    One-way analysis of variance by Kruskal and Wallis, 1952; ε² after Kelley, 1935. 0: none beyond chance, 1: all.
    """
    places: dict[float, list[int]] = {}
    for i, outcome in enumerate(sorted(outcomes)):
        places.setdefault(outcome, []).append(i)
    ranks = {outcome: statistics.fmean(each) for outcome, each in places.items()}
    by: dict[Any, list[float]] = {}
    for group, outcome in zip(groups, outcomes, strict=True):
        by.setdefault(group, []).append(ranks[outcome])
    n, k = len(outcomes), len(by)
    total = statistics.pvariance([rank for each in by.values() for rank in each]) * n
    if total == 0 or not 1 < k < n:
        return 0.0
    within = sum(statistics.pvariance(each) * len(each) for each in by.values())
    return max(0.0, 1 - within / total * (n - 1) / (n - k))


def importances(known: Sequence[Sample], keys: Sequence[str]) -> dict[str, float]:
    """The share of each key, the largest first."""
    found = {key: share(_groups(known, key), [s.outcome for s in known]) for key in keys}
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def _groups(known: Sequence[Sample], key: str) -> list[Any]:
    """Values of a key; numbers of more than a few values in bins of about as many jobs."""
    texts = [s.values.get(key, "") for s in known]
    ordered = sorted(s.numbers[key] for s in known if key in s.numbers)
    if len(set(ordered)) <= BINS + 2 or any(key in s.values and key not in s.numbers for s in known):
        return texts
    edges = [ordered[len(ordered) * i // BINS] for i in range(1, BINS)]
    return [sum(s.numbers[key] >= edge for edge in edges) if key in s.numbers else "" for s in known]
