"""A sweep as its report tells it."""

from typing import NamedTuple

from ebm_exp.metrics import error_of
from ebm_exp.report import read
from ebm_exp.sweep.directory import Job
from ebm_exp.sweep.settings import Results, Setting
from ebm_exp.text import describe, finite, short_keys


class Story(NamedTuple):
    """What came of a sweep, with what its report says of it again and again.

    Attributes:
        results: what came of it.
        rows: of each job, by its number.
        names: short ones of the keys.
    """

    results: Results
    rows: dict[int, read.Rows]
    names: dict[str, str]

    @classmethod
    def of(cls, results: Results) -> "Story":
        """Read the rows of all jobs."""
        return cls(results, {job.number: read.rows(job.run) for job in results.jobs}, short_keys(results.keys))

    @property
    def metric(self) -> str:
        """What is optimized, the first of several; empty where nothing is."""
        return next(iter(self.results.metrics), "")

    @property
    def ranked(self) -> list[Setting]:
        """Settings that have a mean, best first."""
        return self.results.ranked

    @property
    def default(self) -> Setting | None:
        """The setting that holds without the sweep, if it was run."""
        return next((each for each in self.results.settings if each.is_default), None)

    def kind(self, setting: Setting) -> str:
        """How a setting is marked: best, default, or not."""
        is_best = setting.in_front if self.results.several else any(setting is each for each in self.ranked[:1])
        return "best" if is_best else "default" if setting.is_default else ""

    def kinds(self) -> dict[int, str]:
        """The marks of jobs by their number."""
        return {job.number: self.kind(setting) for setting in self.results.settings for job in setting.jobs}

    def label(self, setting: Setting) -> str:
        """``step_size=2 lr=0.001``."""
        return describe(setting.values, self.names) or "the only setting"

    def describe(self, job: Job) -> str:
        """``seed=1 step_size=2 lr=0.001``."""
        return describe(job.values, self.names)

    def spread(self, setting: Setting) -> tuple[float | None, str]:
        """The standard error of a setting's mean, and of what it is: over seeds, or of one evaluation."""
        mean = setting.means.get(self.metric)
        if mean is None or mean.se is not None:
            return (None if mean is None else mean.se), "seeds"
        job = next(job for job in setting.jobs if job.state == "finished")
        step = job.best.get("step")
        told = [row.get(error_of(self.metric)) for row in self.rows.get(job.number, []) if row.get("step") == step]
        return next((value for value in map(finite, told) if value is not None), None), "evaluation"
