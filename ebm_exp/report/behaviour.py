"""Whether training behaved: small multiples over steps, and samples of the best, the median and the worst."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ebm_exp import metrics
from ebm_exp.config.override import pairs
from ebm_exp.report import read
from ebm_exp.report.images import panels
from ebm_exp.report.page import Html, figure, join, section, tag
from ebm_exp.report.svg import Curve, lines
from ebm_exp.report.winner import Story
from ebm_exp.sweep.directory import Job
from ebm_exp.sweep.settings import score
from ebm_exp.text import brief, finite, number

# What tells first that a chain or an energy is ill, in this order, as far as it was logged.
SHOWN = (
    *(metrics.LOSS, metrics.ENERGY_GAP, metrics.ENERGY_POS, metrics.ENERGY_NEG),
    *(metrics.CHAIN_GRAD_NORM, metrics.DISPLACEMENT, metrics.CLAMPED, metrics.ACCEPTANCE),
    *(metrics.TRAIN_GRAD_NORM, metrics.STALENESS),
)
_CHARTS, _POINTS = 12, 6000  # of a section; of all lines of a chart


def behaviour(story: Story) -> Html:
    """The section of a sweep."""
    kinds, jobs = story.kinds(), story.results.jobs
    logged = read.metrics_of(story.rows.values())
    wanted = [m for m in (*story.results.metrics, *SHOWN) if m in logged]
    charts = []
    for metric in list(dict.fromkeys(wanted))[:_CHARTS]:
        most = max(30, _POINTS // max(1, len(jobs)))
        curves = [_curve(story, job, metric, kinds.get(job.number, ""), most) for job in jobs]
        charts.append(lines(metric, [c for c in curves if c.points or c.cross]))
    charts = [each for each in charts if each]
    if not charts:
        return Html("")
    untrained = [job.number for job in jobs if job.state == "failed" and not story.rows.get(job.number)]
    note = "A line per job. Those that diverged or failed end in a red cross."
    if untrained:
        note += (
            f" {len(untrained)} failed before the first step and {'has' if len(untrained) == 1 else 'have'} no line."
        )
    return section("Did training behave", legend(story), tag("div", *map(figure, charts), class_="grid"), note=note)


def legend(story: Story) -> Html | None:
    """What the colours mean."""
    if not story.ranked:
        return None
    several = len(story.results.metrics) > 1
    best, default = story.ranked[0], story.default
    is_long = len(story.results.keys) > 3
    said = [tag("i", class_="best"), "Pareto front" if several else "best" if is_long else f"best: {story.label(best)}"]
    if best.is_default and not several:
        said[1] = f"{said[1]} (also the default)"
    elif default is not None and not default.in_front:
        said += [tag("i", class_="default"), "default" if is_long else f"default: {story.label(default)}"]
    return tag("p", *said, *((tag("i"), "others") if len(story.ranked) > 1 else ()), class_="key")


def _curve(story: Story, job: Job, metric: str, kind: str, most: int) -> Curve:
    found = story.rows.get(job.number, [])
    points = read.curve(found, metric, most)
    label = f"job {job.number}: {' '.join(f'{story.names.get(k, k)}={brief(v)}' for k, v in pairs(job.overrides))}"
    label += f" ({job.state})" if job.state != "finished" else ""
    return Curve(points, label, kind, end(job.state, job.summary, found, points))


def end(
    state: str, summary: Mapping[str, object], found: read.Rows, points: Sequence[tuple[float, float]]
) -> tuple[float, float | None] | None:
    """Where the cross of a run stands that ended badly: None for one that did not, or never began."""
    if state not in ("failed", "diverged") or not (found or summary.get("failed_step") is not None):
        return None
    last = points[-1] if points else (0.0, None)
    step = finite(summary.get("failed_step")) or finite(summary.get("step")) or last[0]
    return step, last[1]


def samples(story: Story) -> Html:
    """Samples of the best, the median and the worst finished job, side by side."""
    metric, results = story.metric, story.results
    if metric is None:
        return Html("")
    alone, sign = len(results.metrics) == 1, 1 if results.directions[metric] == "lower" else -1
    known = [(sign * value, job) for job in results.jobs if (value := score(job, metric, alone)) is not None]
    known = sorted(((v, job) for v, job in known if job.state == "finished"), key=lambda each: each[0])
    known = [(v, job) for v, job in known if read.kinds(job.run.path)]
    if not known:
        return Html("")
    places = {len(known) - 1: "worst", len(known) // 2: "median"} | {0: "best"}
    shown: list[Html] = []
    for i, name in sorted(places.items()):
        parts, data = _samples(story, name, known[i][1], sign * known[i][0])
        if data and not shown:
            shown.append(tag("div", tag("p", tag("b", "data")), figure(data)))
        shown.append(parts)
    return section(
        "Samples of the best, the median and the worst job",
        tag("div", *shown, class_="four" if len(shown) > len(places) else None),
        note="The images nearest to the step of a job's best value.",
    )


def _samples(story: Story, name: str, job: Job, value: float) -> tuple[Html, Html | None]:
    """Samples of a job and what else was drawn at that step; and the panel of data beside them."""
    what = " ".join(f"{story.names.get(k, k)}={brief(v)}" for k, v in pairs(job.overrides))
    step = finite(job.best.get("step"))
    is_mosaic = len(read.shape(job.summary)) == 3
    parts, data = [], None
    for kind in read.kinds(job.run.path)[:2]:
        at, file = nearest(read.images(job.run.path, kind), step)
        shown = panels(file, f"{kind} of job {job.number}", split=is_mosaic and kind == "step")
        data = shown[0] if len(shown) > 1 else data
        parts.append(figure(shown[-1], f"{'samples' if kind == 'step' else kind}, step {at}") if shown else None)
    title = tag("p", tag("b", f"{name}: {number(value)}"), f" · job {job.number} · {what}")
    return tag("div", title, join(parts) if data else tag("div", *parts, class_="wide")), data


def nearest(images: Sequence[tuple[int, Path]], step: float | None) -> tuple[int, Path]:
    """The image nearest to a step; None: the last."""
    return images[-1] if step is None else min(images, key=lambda each: (abs(each[0] - step), -each[0]))
