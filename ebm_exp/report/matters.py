"""Which of the keys matter: importances, a slice per key, parallel coordinates, a heat map of two."""

import statistics
from collections.abc import Mapping, Sequence

from ebm_exp.metrics import SCORE
from ebm_exp.report import svg
from ebm_exp.report.key import BINS, Axis, Sample, importances, ordered, sample_of, samples, varying
from ebm_exp.report.page import Html, figure, join, section, table, tag
from ebm_exp.report.winner import Story
from ebm_exp.text import number

_ENOUGH = 10  # finished jobs, for importances
_LARGEST = 12  # values of a key, for a heat map
_CELL, _TALL = (84, 40), 230  # pixels of a cell; of parallel coordinates
_APART, _PAGE = (110, 240), 940  # pixels between axes, and of all of them

Marks = list[tuple[float, str]]


def matters(story: Story) -> Html:
    """The section; empty where nothing but the seed varies."""
    metric, keys = story.metric, varying(story)
    if metric is None or not keys:
        return Html("")
    known = samples(story, metric)
    if not known or len(known) + len(_ill(story)) < 2:
        return Html("")
    return section(
        "What matters",
        _importances(story, known, keys, metric) if len(known) >= _ENOUGH and len(keys) > 1 else None,
        tag("h3", f"{metric} over each key: a point per job"),
        tag("p", "Red crosses: jobs that failed or diverged.", class_="note") if _ill(story) else None,
        tag("div", *(figure(_slice(story, known, key, metric)) for key in keys), class_="grid"),
        _heat(story, known, keys, metric),
        _parallel(story, known, keys, metric) if len(keys) > 1 and len(story.ranked) > 3 else None,
    )


def _importances(story: Story, known: Sequence[Sample], keys: Sequence[str], metric: str) -> Html:
    rows = [[story.names[key], _bar(share), f"{share:.0%}"] for key, share in importances(known, keys).items()]
    note = (
        f"Share of the variance of the ranks of {metric} that each key explains alone (one-way analysis of variance "
        f"over {len(known)} finished jobs, many numbers in {BINS} bins, corrected for chance). Keys that act only "
        "together show little; pruned, failed and diverged jobs are not in it."
    )
    shown = table(["key", "", "share"], rows, numeric=(2,))
    return join([tag("h3", "Importances"), tag("p", note, class_="note"), shown])


def _bar(share: float) -> Html:
    bar = f'<rect class="bar" x="0" y="3" width="{max(1.0, 200 * share):.1f}" height="10"/>'
    return Html(f'<svg viewBox="0 0 200 16" style="width:200px" role="img" aria-label="{share:.0%}">{bar}</svg>')


def _slice(story: Story, known: Sequence[Sample], key: str, metric: str) -> Html:
    kept, is_cut = svg.spread([s.outcome for s in known])
    ill = _ill(story)
    axis, y_axis = Axis.of([*known, *ill], key), svg.scale(kept)
    inside = []
    for s in sorted(known, key=lambda s: s.kind):
        label = f"job {s.job.number}: {s.values.get(key, 'unset')} → {number(s.outcome)}"
        inside.append(svg.point(_place_x(axis, s), svg.place_y(y_axis, s.outcome), label, s.kind))
    worst = svg.TOP if story.results.directions[metric] == "lower" else svg.HEIGHT - svg.BOTTOM - 5
    for s in ill:
        label = f"job {s.job.number}: {s.values.get(key, 'unset')} → {s.job.state}"
        inside.append(svg.cross(_place_x(axis, s), worst, label))
    return svg.frame(key + (" (outliers cut)" if is_cut else ""), axis.scale, y_axis, inside, "")


def _place_x(axis: Axis, sample: Sample) -> float:
    return svg.LEFT + axis(sample) * (svg.WIDTH - svg.LEFT - svg.RIGHT)


def _ill(story: Story) -> list[Sample]:
    return [sample_of(story, job, 0.0) for job in story.results.jobs if job.state in ("failed", "diverged")]


def _heat(story: Story, known: Sequence[Sample], keys: Sequence[str], metric: str) -> Html | None:
    if len(keys) != 2:
        return None
    rows, columns = (ordered(known, key) for key in keys)
    if not (1 < len(rows) <= _LARGEST and 1 < len(columns) <= _LARGEST):
        return None
    found: dict[tuple[str, str], list[float]] = {}
    for s in known:
        found.setdefault((s.values.get(keys[0], "unset"), s.values.get(keys[1], "unset")), []).append(s.outcome)
    if len(found) * 2 < len(rows) * len(columns):  # a search rarely meets a pair twice
        return None
    means = {cell: statistics.fmean(each) for cell, each in found.items()}
    lower = story.results.directions[metric] == "lower"
    shown = draw_cells(means, rows, columns, (story.names[keys[0]], story.names[keys[1]]), lower)
    title = f"Both keys at once: mean {metric}, {'lower' if lower else 'higher'} is better and darker"
    return join([tag("h3", title), tag("div", shown, class_="scroll")])


def _parallel(story: Story, known: Sequence[Sample], keys: Sequence[str], metric: str) -> Html:
    axes = [Axis.of(known, key) for key in keys]
    outcome = svg.scale(svg.spread([s.outcome for s in known])[0], 0.0)
    flip = story.results.directions[metric] == "lower"

    def place(at: float) -> float:
        return min(1.0, max(0.0, 1 - at if flip else at))

    good = sorted(s.outcome for s in known)[:: 1 if flip else -1][len(known) // 5]
    lines = [
        (
            [*(axis(s) for axis in axes), place(outcome(s.outcome))],
            s.kind or ("top" if (s.outcome <= good if flip else s.outcome >= good) else ""),
            f"job {s.job.number}: {number(s.outcome)}",
        )
        for s in sorted(known, key=lambda s: (s.kind, -s.outcome if flip else s.outcome))
    ]
    marks = [*(axis.scale.marks() for axis in axes), [(place(at), label) for at, label in outcome.marks()]]
    heads = [*(story.names[key] for key in keys), SCORE.shorten(metric)]
    return join(
        [
            tag("h3", "Parallel coordinates: a line per job, the best fifth in blue"),
            tag("p", "The last axis is the outcome, better above.", class_="note"),
            tag("div", draw_lines(heads, marks, lines), class_="scroll"),
        ]
    )


def draw_cells(
    means: Mapping[tuple[str, str], float],
    rows: Sequence[str],
    columns: Sequence[str],
    names: tuple[str, str],
    lower: bool,
) -> Html:
    """Means of settings: a row per value of the first key, a column per value of the second; better is darker."""
    left, top, (w, h) = 96, 40, _CELL
    order = sorted(means.values(), reverse=lower)  # by rank, so that one bad cell does not wash out all others
    parts = [
        svg.text(left + w * len(columns) / 2, 14, names[1], "middle title"),
        svg.text(8, top - 8, names[0], "title"),
    ]
    parts += [svg.text(left + w * (j + 0.5), top - 8, svg.cut(c, 12), "middle strong") for j, c in enumerate(columns)]
    for i, row in enumerate(rows):
        parts.append(svg.text(left - 8, top + h * (i + 0.5) + 4, svg.cut(row, 13), "end strong"))
        for j, column in enumerate(columns):
            mean = means.get((row, column))
            x, y = left + w * j, top + h * i
            rank = 0.0 if mean is None else (order.index(mean) + 1) / len(order)
            size = f'x="{x}" y="{y}" width="{w}" height="{h}"'
            parts.append(Html(f'<rect class="cell" {size} fill-opacity="{0.08 + 0.5 * rank:.2f}"/>'))
            parts.append(svg.text(x + w / 2, y + h / 2 + 4, "–" if mean is None else number(mean), "middle strong"))
    width = left + w * len(columns) + 8
    return svg.sized(svg.canvas(width, top + h * len(rows) + 6, parts, f"{names[0]} and {names[1]}"), width)


def draw_lines(heads: Sequence[str], marks: Sequence[Marks], lines: Sequence[tuple[list[float], str, str]]) -> Html:
    """A line per job through its values on every axis.

    Args:
        heads: names of the axes.
        marks: ticks of each axis, as places between 0 and 1 with labels.
        lines: places on all axes, the kind of line, and its label.
    """
    left, top = 90, 36
    apart = min(_APART[1], max(_APART[0], _PAGE // max(1, len(heads) - 1)))
    width = left + apart * (len(heads) - 1) + 70
    bottom = top + _TALL

    def y(at: float) -> float:
        return bottom - at * _TALL

    parts = []
    for places, kind, label in lines:
        points = " ".join(f"{left + apart * i:.0f} {y(at):.1f}" for i, at in enumerate(places))
        parts.append(tag("path", tag("title", label), class_=f"l {kind}".strip(), d=f"M{points}"))
    for i, (head, each) in enumerate(zip(heads, marks, strict=True)):
        x = left + apart * i
        parts += [svg.rule(x, top, x, bottom, "axis"), svg.text(x, 16, svg.cut(head, 20), "middle title")]
        for at, label in each:
            parts += [
                svg.rule(x - 3, y(at), x, y(at), "axis"),
                svg.text(x - 6, y(at) + 4, svg.cut(label, 14), "end strong halo"),
            ]
    return svg.sized(svg.canvas(width, bottom + 14, parts, "parallel coordinates"), width)
