"""Which setting won, by how much, and what to do with it."""

import math
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from ebm_exp.metrics import error_of
from ebm_exp.report import read
from ebm_exp.report.best import best_job, experiment, program, sample_from, shown_path, train_again
from ebm_exp.report.page import Html, code, folded, join, section, table, tag
from ebm_exp.sweep.settings import Mean, Results, Setting
from ebm_exp.text import brief, finite, short_keys


class Story(NamedTuple):
    """A sweep as its report tells it.

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
        found = {job.number: read.rows(job.run.path) for job in results.jobs}
        return cls(results, found, short_keys(results.keys))

    @property
    def metric(self) -> str | None:
        """What is optimized, the first of several."""
        return self.results.metrics[0] if self.results.metrics else None

    @property
    def ranked(self) -> list[Setting]:
        """Settings that have a mean, best first."""
        return [each for each in self.results.settings if each.means]

    @property
    def default(self) -> Setting | None:
        """The setting that holds without the sweep, if it was run."""
        return next((each for each in self.results.settings if each.is_default), None)

    def kind(self, setting: Setting) -> str:
        """How a setting is marked: best, default, or not."""
        if self.ranked and setting is self.ranked[0] and len(self.results.metrics) == 1:
            return "best"
        return "best" if setting.in_front and len(self.results.metrics) > 1 else "default" if setting.is_default else ""

    def kinds(self) -> dict[int, str]:
        """The marks of jobs by their number."""
        return {job.number: self.kind(setting) for setting in self.results.settings for job in setting.jobs}

    def label(self, setting: Setting) -> str:
        """``step_size=2 lr=0.001``."""
        said = " ".join(f"{self.names.get(key, key)}={brief(value)}" for key, value in setting.values.items())
        return said or "the only setting"

    def spread(self, setting: Setting) -> tuple[float | None, str]:
        """The standard error of a setting's mean, and of what it is: over seeds, or of one evaluation."""
        metric = self.metric or ""
        mean = setting.means.get(metric)
        if mean is None or mean.se is not None:
            return (None if mean is None else mean.se), "seeds"
        job = next(job for job in setting.jobs if job.state == "finished")
        step = job.best.get("step")
        told = [row.get(error_of(metric)) for row in self.rows.get(job.number, []) if row.get("step") == step]
        return next((value for value in map(finite, told) if value is not None), None), "evaluation"


def winner(story: Story) -> Html:
    """The section."""
    ranked, metric = story.ranked, story.metric
    if metric is None:
        return section("Which setting won", tag("p", "No metric was optimized: there is nothing to rank by."))
    if not ranked:
        return section("Which setting won", tag("p", f"No job has finished with a value of {metric} so far."))
    if len(story.results.metrics) > 1:
        return section("Which settings won", _front(story), _next_steps(story, ranked[0], "the first of them"))
    return section(
        "Which setting won", _verdict(story), _cards(story), _caveats(story), _next_steps(story, ranked[0], "it")
    )


def _verdict(story: Story) -> Html:
    best, *others = story.ranked
    metric = story.metric or ""
    side = f"{story.results.directions[metric]} is better"
    said: list[Any] = [tag("b", story.label(best)), f" with {metric} {_value(story, best)} ({side})"]
    if others:
        said.append(f", {_difference(story, best, others[0])} the next")
        said += [f", {story.label(others[0])}"] if len(story.results.keys) < 3 else []
    default = story.default
    if best.is_default:
        said.append("; these are the values that hold without the sweep")
    elif default is not None and default.means and (not others or default is not others[0]):
        said.append(f", and {_difference(story, best, default)} the default")
    elif default is not None and default.means:
        said.append(", which is the default")
    return tag("p", *said, ".", class_="verdict")


def _value(story: Story, setting: Setting) -> str:
    mean = setting.means[story.metric or ""]
    return str(mean) + (f" over {mean.n} seeds" if mean.n > 1 else "")


def _difference(story: Story, one: Setting, other: Setting) -> str:
    """``3.1 standard errors (0.42) ahead of``."""
    z = errors_between(story, one, other)
    a, b = (each.means[story.metric or ""].value for each in (one, other))
    if z is None:
        return f"{abs(a - b):.3g} ahead of"
    return f"{z:.1f} standard errors ({abs(a - b):.3g}) ahead of"


def errors_between(story: Story, one: Setting, other: Setting) -> float | None:
    """By how many standard errors of their difference two means differ; None where an error is not known."""
    metric = story.metric or ""
    (a, _), (b, _) = story.spread(one), story.spread(other)
    if a is None or b is None or metric not in one.means or metric not in other.means or a == b == 0:
        return None
    return abs(one.means[metric].value - other.means[metric].value) / math.hypot(a, b)


def _cards(story: Story) -> Html:
    best, *others = story.ranked
    default = story.default
    shown = [("best and default" if best.is_default else "best", best, "best")]
    if others:
        shown.append(("next and default" if others[0].is_default else "next", others[0], ""))
    if default is not None and default.means and all(setting is not default for _, setting, _ in shown):
        shown.append(("default", default, "default"))
    cards = [
        _card(story, title, setting, "default" if "default" in title else kind or "", best)
        for title, setting, kind in shown
    ]
    if default is None and story.results.record.get("defaults"):
        cards.append(_untried(story))
    return tag("div", *cards, class_="cards")


def _card(story: Story, title: str, setting: Setting, kind: str, best: Setting) -> Html:
    mean = setting.means[story.metric or ""]
    kind = "best" if setting is best else kind
    said = f"{title} · {_seeds(mean)}"
    return tag(
        "div",
        tag("div", said, class_="what"),
        tag("div", str(mean), class_="value"),
        _values(story, setting.values),
        class_=f"card {kind}".strip(),
    )


def _untried(story: Story) -> Html:
    defaults = story.results.record["defaults"]
    values = {key: str(defaults[key]) for key in story.results.keys if key in defaults}
    return tag(
        "div",
        tag("div", "default · not in this sweep", class_="what"),
        tag("div", "?", class_="value"),
        _values(story, values),
        class_="card default",
    )


def _values(story: Story, values: dict[str, str]) -> Html:
    best = story.ranked[0].values
    cells = (
        join(
            [
                tag("dt", story.names.get(k, k), title=k),
                tag("dd", brief(v), title=v, class_=None if best.get(k) == v else "differs"),
            ]
        )
        for k, v in values.items()
    )
    return tag("dl", *cells)


def _seeds(mean: Mean) -> str:
    return f"{mean.n} seeds" if mean.n > 1 else "1 seed"


def _caveats(story: Story) -> Html | None:
    """What the difference does not say."""
    best, *others = story.ranked
    said = []
    z = errors_between(story, best, others[0]) if others else None
    single = [each for each in (best, *others[:1]) if each.means[story.metric or ""].n == 1]
    if single and z is not None:
        said.append("Errors are those of one evaluation: with one seed, how far seeds lie apart is not in them.")
    elif single and others:
        said.append("One seed each: how much of the difference is chance, these runs cannot say.")
    elif z is not None and z < 2:
        said.append(f"{z:.1f} standard errors may well be chance; more seeds would tell.")
    if len(story.ranked) > 3:
        said.append(f"The best of {len(story.ranked)} settings looks better than it is; new seeds say by how much.")
    return tag("p", " ".join(said), class_="note") if said else None


def _front(story: Story) -> Html:
    front = [each for each in story.ranked if each.in_front]
    metrics = story.results.metrics
    heads = [*metrics, "seeds", *(story.names[key] for key in story.results.keys)]
    rows = [
        [
            *(str(s.means[m]) if m in s.means else "" for m in metrics),
            max(mean.n for mean in s.means.values()),
            *(brief(s.values.get(key, "")) for key in story.results.keys),
        ]
        for s in front
    ]
    sides = ", ".join(f"{m}: {story.results.directions[m]}" for m in metrics)
    said = (
        f"{len(front)} of {len(story.ranked)} settings are on the Pareto front: no other is better in one metric and "
    )
    said += f"as good in all others ({sides} is better)."
    return join([tag("p", said, class_="verdict"), table(heads, rows, numeric=range(len(metrics) + 1))])


def _next_steps(story: Story, best: Setting, what: str) -> Html:
    results, metric = story.results, story.metric or ""
    job = best_job(best, metric, results.directions[metric], len(results.metrics) == 1)
    file, kept = shown_path(results.sweep.path) / "best.yaml", f"{results.record.get('name') or 'my'}_best"
    keep = f"cp {shlex.quote(str(file))} conf/experiment/{shlex.quote(kept)}.yaml"
    use = shlex.join([*program(results.record, "train"), f"experiment={kept}"])
    steps: Sequence[Any] = (
        tag("h3", f"Train {what} again, with new seeds"),
        code(train_again(results, best)),
        tag("h3", f"Sample from its best run, job {job.number}"),
        code(sample_from(results, job)),
        folded(
            f"Keep {what} as an experiment: best.yaml",
            code(experiment(results, best)),
            tag("p", "The file lies beside this page. To use it by name:", class_="note"),
            code(f"{keep} && {use}"),
            is_open=True,
        ),
    )
    return join(steps)
