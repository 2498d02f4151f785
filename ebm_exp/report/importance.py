"""How much each key of a sweep matters, by itself."""

import statistics
from collections.abc import Sequence
from typing import Any

from ebm_exp.report.key import BINS, Sample


def share(groups: Sequence[Any], outcomes: Sequence[float]) -> float:
    """How much of the variance of the outcomes' ranks lies between groups, corrected for the number of groups (ε²).

    One-way analysis of variance by Kruskal and Wallis, 1952; ε² after Kelley, 1935. 0: none beyond chance, 1: all.
    """
    order = sorted(outcomes)
    ranks = {value: statistics.fmean(i for i, o in enumerate(order) if o == value) for value in set(order)}
    by: dict[Any, list[float]] = {}
    for group, outcome in zip(groups, outcomes, strict=True):
        by.setdefault(group, []).append(ranks[outcome])
    n, k = len(outcomes), len(by)
    every = [rank for each in by.values() for rank in each]
    total = statistics.pvariance(every) * n
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
    distinct = sorted({s.numbers[key] for s in known if key in s.numbers})
    if len(distinct) <= BINS + 2 or any(key in s.values and key not in s.numbers for s in known):
        return texts
    ordered = sorted(s.numbers[key] for s in known if key in s.numbers)
    edges = [ordered[len(ordered) * i // BINS] for i in range(1, BINS)]
    return [sum(s.numbers[key] >= edge for edge in edges) if key in s.numbers else "" for s in known]
