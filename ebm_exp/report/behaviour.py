"""Whether training behaved: small multiples over steps, and samples of the best, the median and the worst."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ebm_exp import metrics
from ebm_exp.report import read
from ebm_exp.report.images import Gallery
from ebm_exp.report.page import Html, figure, join, multiples, section, tag
from ebm_exp.report.story import Story
from ebm_exp.report.svg import Curve, lines
from ebm_exp.sweep.directory import Job
from ebm_exp.text import finite, number

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
    wanted = dict.fromkeys(m for m in (*story.results.metrics, *SHOWN) if m in logged)
    most = max(30, _POINTS // max(1, len(jobs)))
    charts = []
    for metric in list(wanted)[:_CHARTS]:
        curves = [_curve(story, job, metric, kinds.get(job.number, ""), most) for job in jobs]
        charts.append(lines(metric, [c for c in curves if c.points or c.cross]))
    shown = multiples(figure(each) for each in charts if each)
    said = "A line per job. Those that diverged or failed end in a red cross."
    if n := sum(job.state == "failed" and not story.rows.get(job.number) for job in jobs):
        said += f" {n} failed before the first step and {'has' if n == 1 else 'have'} no line."
    return section("Did training behave", legend(story) if shown else None, shown, said=said)


def legend(story: Story) -> Html | None:
    """What the colours mean."""
    if not story.ranked:
        return None
    several = story.results.several
    best, default = story.ranked[0], story.default
    is_long = len(story.results.keys) > 3
    said = [tag("i", class_="best"), "Pareto front" if several else "best" if is_long else f"best: {story.label(best)}"]
    if best.is_default and not several:
        said[1] = f"{said[1]} (also the default)"
    elif default is not None and not default.in_front:
        said += [tag("i", class_="default"), "default" if is_long else f"default: {story.label(default)}"]
    return tag("p", *said, *((tag("i"), "others") if len(story.ranked) > 1 else ()), class_="key")


def _curve(story: Story, job: Job, metric: str, kind: str, most: int) -> Curve:
    found = story.rows[job.number]
    points = read.curve(found, metric, most)
    label = f"job {job.number}: {story.describe(job)}" + (f" ({job.state})" if job.state != "finished" else "")
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
    drawn = [job for job in results.finished if metric and read.kinds(job.run.path)]
    known = [(value, job) for job in drawn if (value := results.score(job, metric)) is not None]
    if not known:
        return Html("")
    known.sort(key=lambda each: results.sign(metric) * each[0])
    places = {len(known) - 1: "worst", len(known) // 2: "median"} | {0: "best"}
    shown: list[Html] = []
    gallery = Gallery()
    for i, name in sorted(places.items()):
        parts, data = _samples(story, gallery, name, *known[i])
        if data and not shown:
            shown.append(tag("div", tag("p", tag("b", "data")), figure(data)))
        shown.append(parts)
    return section(
        "Samples of the best, the median and the worst job",
        tag("div", *shown, class_="four" if len(shown) > len(places) else None),
        gallery.note(),
        said="The images nearest to the step of a job's best value.",
    )


def _samples(story: Story, gallery: Gallery, name: str, value: float, job: Job) -> tuple[Html, Html | None]:
    """Samples of a job and what else was drawn at that step; and the panel of data beside them."""
    step = finite(job.best.get("step"))
    is_mosaic = len(read.shape(job.summary)) == 3
    parts, data = [], None
    for kind in read.kinds(job.run.path)[:2]:
        at, file = nearest(read.images(job.run.path, kind), step)
        shown = gallery.panels(file, f"{kind} of job {job.number}", split=is_mosaic and kind == "step")
        data = shown[0] if len(shown) > 1 else data
        parts.append(figure(shown[-1], f"{'samples' if kind == 'step' else kind}, step {at}") if shown else None)
    title = tag("p", tag("b", f"{name}: {number(value)}"), f" · job {job.number} · {story.describe(job)}")
    return tag("div", title, join(parts) if data else tag("div", *parts, class_="wide")), data


def nearest(images: Sequence[tuple[int, Path]], step: float | None) -> tuple[int, Path]:
    """The image nearest to a step; None: the last."""
    return images[-1] if step is None else min(images, key=lambda each: (abs(each[0] - step), -each[0]))
