"""How far two settings of a sweep lie apart, and what speaks against their order: few seeds, and unsettled curves.

The difference of two means has Welch's error √(a² + b²) with the degrees of freedom of Welch and Satterthwaite,
(a² + b²)²/(a⁴/(n_a − 1) + b⁴/(n_b − 1)), where a and b are standard errors over n_a and n_b seeds. An error of one
evaluation, of many samples, has as many as one likes.
"""

import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

from ebm_exp.report import read
from ebm_exp.report.story import Story
from ebm_exp.sweep.settings import Setting
from ebm_exp.text import finite, number, with_error

CONFIDENCE = 0.95
Curve = dict[float, float]  # value by step


class Difference(NamedTuple):
    """Of two means.

    Attributes:
        value: how far apart they are.
        se: its standard error; None: not known.
        df: degrees of freedom of that error; inf: it is known well.
    """

    value: float
    se: float | None = None
    df: float = math.inf

    @property
    def half_width(self) -> float | None:
        """Of the interval that holds the true difference in 95 of 100 such sweeps; None: not known."""
        if self.se is None:
            return None
        half = (1 + CONFIDENCE) / 2
        if math.isinf(self.df):
            return statistics.NormalDist().inv_cdf(half) * self.se
        from scipy.special import stdtrit  # not before it is needed: .2 s

        return float(stdtrit(self.df, half)) * self.se

    @property
    def is_told_apart(self) -> bool | None:
        """Whether 0 lies outside of that interval; None: not known."""
        half = self.half_width
        return None if half is None else self.value > half

    def __str__(self) -> str:
        half = self.half_width
        return f"{self.value:.3g}" if half is None else with_error(self.value, half)


def compare(story: Story, one: Setting, other: Setting) -> Difference:
    """How far two settings with means lie apart in the metric."""
    value = abs(one.means[story.metric].value - other.means[story.metric].value)
    errors = [(*story.spread(setting), setting.means[story.metric].n) for setting in (one, other)]
    known = [(se, of, n) for se, of, n in errors if se is not None]
    if len(known) < 2 or all(se == 0 for se, _, _ in known):
        return Difference(value)
    variance = sum(se**2 for se, _, _ in known)
    uncertain = sum(se**4 / (n - 1) for se, of, n in known if of == "seeds")
    return Difference(value, math.sqrt(variance), variance**2 / uncertain if uncertain else math.inf)


def doubt_length(story: Story, best: Setting, other: Setting | None) -> list[str]:
    """What the curves of the two foremost settings say against their order at another length of training, sentences."""
    mine = _mean_curve(story, best)
    if not mine:
        return []
    if len(mine) == 1:
        return ["One evaluation each: whether scores have settled cannot be seen."]
    said = []
    sign, theirs = story.results.sign(story.metric), {} if other is None else _mean_curve(story, other)
    apart = None if other is None else compare(story, best, other).value
    for name, curve in (("the best", mine), ("the next", theirs)):
        gained = _gained(curve, sign)
        if gained > 0 and (apart is None or 2 * gained > apart):
            beside = "" if apart is None else f", where {apart:.2g} lies between the two"
            what = f"Scores of {name} were still getting better, by {gained:.2g} in the last quarter of training"
            said.append(f"{what}{beside}: longer training may change the order.")
    if len(early := _early(story, best)) > best.n / 2:
        steps = f"step {min(early):,.0f}" if len({*early}) == 1 else f"steps {min(early):,.0f} to {max(early):,.0f}"
        said.append(
            f"The best had its best scores early, at {steps} of {max(mine):,.0f}, and {number(mine[max(mine)])} at the "
            "end: the order is that of each job's best evaluation, picked with hindsight."
        )
    crossed = _cross(mine, theirs)
    if crossed is not None:
        said.append(f"The curves of the two cross, last at step {crossed:,.0f}: their order depends on the length.")
    return said


def _mean_curve(story: Story, setting: Setting) -> Curve:
    """The metric's mean over the finished jobs of a setting, at steps that all of them have."""
    curves = [dict(read.curve(story.rows[j.number], story.metric)) for j in setting.jobs if j.state == "finished"]
    shared = set.intersection(*map(set, curves)) if curves else set()
    return {step: statistics.fmean(curve[step] for curve in curves) for step in sorted(shared)}


def _gained(curve: Curve, sign: int) -> float:
    """By how much a curve got better in its last quarter."""
    if len(curve) < 2:
        return 0.0
    last = max(curve)
    before = max(step for step in curve if step <= max(0.75 * last, min(curve)))
    return sign * (curve[before] - curve[last])


def _early(story: Story, setting: Setting) -> list[float]:
    """The steps of the best evaluations of a setting's jobs that lie in the first half of their training."""
    finished = [job for job in setting.jobs if job.state == "finished"]
    steps = ((finite(job.best.get("step")), finite(job.summary.get("step"))) for job in finished)
    return [at for at, end in steps if at is not None and end and at <= end / 2]


def _cross(mine: Mapping[float, float], theirs: Mapping[float, float]) -> float | None:
    """The last step, in the second half of training, from which on another curve was ahead than before."""
    shared = [step for step in mine if step in theirs and mine[step] != theirs[step]]
    ahead = [mine[step] < theirs[step] for step in shared]
    steps = [step for step, a, b in zip(shared[1:], ahead, ahead[1:], strict=False) if a != b]
    return steps[-1] if steps and steps[-1] > shared[-1] / 2 else None
