"""Which of the keys matter: importances, a slice per key, parallel coordinates, a heat map of two."""

import statistics
from collections.abc import Sequence

from ebm_exp.metrics import SCORE
from ebm_exp.report import svg
from ebm_exp.report.key import BINS, UNSET, Axis, Sample, finished, ill, importances, ordered, varying
from ebm_exp.report.page import Html, figure, join, multiples, note, section, table, tag
from ebm_exp.report.story import Story
from ebm_exp.text import cut, number

_ENOUGH = 10  # finished jobs, for importances
_LARGEST = 12  # values of a key, for a heat map
_CELL, _TALL = (84, 40), 230  # pixels of a cell; of parallel coordinates
_APART, _PAGE = (110, 240), 940  # pixels between axes, and of all of them


def matters(story: Story) -> Html:
    """The section; empty where nothing but the seed varies."""
    keys = varying(story)
    known, bad = (finished(story), ill(story)) if story.metric and keys else ([], [])
    if not known or len(known) + len(bad) < 2:
        return Html("")
    return section(
        "What matters",
        _importances(story, known, keys) if len(known) >= _ENOUGH and len(keys) > 1 else None,
        tag("h3", f"{story.metric} over each key: a point per job"),
        note("Red crosses: jobs that failed or diverged.") if bad else None,
        multiples(figure(_slice(story, known, bad, key)) for key in keys),
        _heat(story, known, keys) if len(keys) == 2 else None,
        _parallel(story, known, keys) if len(keys) > 1 and len(story.ranked) > 3 else None,
    )


def _importances(story: Story, known: Sequence[Sample], keys: Sequence[str]) -> Html:
    rows = [[story.names[key], _bar(share), f"{share:.0%}"] for key, share in importances(known, keys).items()]
    said = (
        f"Share of the variance of the ranks of {story.metric} that each key explains alone (one-way analysis of "
        f"variance over {len(known)} finished jobs, many numbers in {BINS} bins, corrected for chance). Keys that act "
        "only together show little; pruned, failed and diverged jobs are not in it."
    )
    return join([tag("h3", "Importances"), note(said), table(["key", "", "share"], rows, numeric=(2,))])


def _bar(share: float) -> Html:
    bar = f'<rect class="bar" x="0" y="3" width="{max(1.0, 200 * share):.1f}" height="10"/>'
    return Html(f'<svg viewBox="0 0 200 16" style="width:200px" role="img" aria-label="{share:.0%}">{bar}</svg>')


def _slice(story: Story, known: Sequence[Sample], bad: Sequence[Sample], key: str) -> Html:
    kept, is_cut = svg.spread([s.outcome for s in known])
    axis, y_axis = Axis.of([*known, *bad], key), svg.scale(kept)
    inside = []
    for s in sorted(known, key=lambda s: s.kind):
        label = f"job {s.job.number}: {s.values.get(key, UNSET)} → {number(s.outcome)}"
        inside.append(svg.point(svg.place_x(axis(s)), svg.place_y(y_axis(s.outcome)), label, s.kind))
    worst = svg.TOP if story.results.sign(story.metric) > 0 else svg.HEIGHT - svg.BOTTOM - 5
    for s in bad:
        label = f"job {s.job.number}: {s.values.get(key, UNSET)} → {s.job.state}"
        inside.append(svg.cross(svg.place_x(axis(s)), worst, label))
    return svg.frame(key + (" (outliers cut)" if is_cut else ""), axis.scale, y_axis, inside, "")


def _heat(story: Story, known: Sequence[Sample], keys: Sequence[str]) -> Html | None:
    """Means of settings: a row per value of the first key, a column per value of the second; better is darker."""
    rows, columns = (ordered(known, key) for key in keys)
    found: dict[tuple[str, ...], list[float]] = {}
    for s in known:
        found.setdefault(tuple(s.values.get(key, UNSET) for key in keys), []).append(s.outcome)
    is_square = 1 < len(rows) <= _LARGEST and 1 < len(columns) <= _LARGEST
    if not is_square or len(found) * 2 < len(rows) * len(columns):  # a search rarely meets a pair twice
        return None
    means = {cell: statistics.fmean(each) for cell, each in found.items()}
    lower = story.results.sign(story.metric) > 0
    order = sorted(means.values(), reverse=lower)  # by rank, so that one bad cell does not wash out all others
    left, top, (w, h) = 96, 40, _CELL
    one, other = (story.names[key] for key in keys)
    parts = [svg.text(left + w * len(columns) / 2, 14, other, "middle title"), svg.text(8, top - 8, one, "title")]
    parts += [svg.text(left + w * (j + 0.5), top - 8, cut(c, 12), "middle strong") for j, c in enumerate(columns)]
    for i, row in enumerate(rows):
        parts.append(svg.text(left - 8, top + h * (i + 0.5) + 4, cut(row, 13), "end strong"))
        for j, column in enumerate(columns):
            mean = means.get((row, column))
            x, y = left + w * j, top + h * i
            rank = 0.0 if mean is None else (order.index(mean) + 1) / len(order)
            size = f'x="{x}" y="{y}" width="{w}" height="{h}"'
            parts.append(Html(f'<rect class="cell" {size} fill-opacity="{0.08 + 0.5 * rank:.2f}"/>'))
            parts.append(svg.text(x + w / 2, y + h / 2 + 4, "–" if mean is None else number(mean), "middle strong"))
    width = left + w * len(columns) + 8
    shown = svg.sized(svg.canvas(width, top + h * len(rows) + 6, parts, f"{one} and {other}"), width)
    title = f"Both keys at once: mean {story.metric}, {'lower' if lower else 'higher'} is better and darker"
    return join([tag("h3", title), tag("div", shown, class_="scroll")])


def _parallel(story: Story, known: Sequence[Sample], keys: Sequence[str]) -> Html:
    """A line per job through its values on every axis, and through its outcome."""
    axes, sign = [Axis.of(known, key) for key in keys], story.results.sign(story.metric)
    outcome = svg.scale(svg.spread([s.outcome for s in known])[0], 0.0)
    good = sorted(sign * s.outcome for s in known)[len(known) // 5]
    heads = [*(story.names[key] for key in keys), SCORE.shorten(story.metric)]
    left, top = 90, 36
    apart = min(_APART[1], max(_APART[0], _PAGE // max(1, len(heads) - 1)))
    width, bottom = left + apart * (len(heads) - 1) + 70, top + _TALL

    def place(at: float) -> float:
        return min(1.0, max(0.0, 1 - at if sign > 0 else at))

    def y(at: float) -> float:
        return bottom - at * _TALL

    parts = []
    for s in sorted(known, key=lambda s: (s.kind, -sign * s.outcome)):
        places = [*(axis(s) for axis in axes), place(outcome(s.outcome))]
        points = " ".join(f"{left + apart * i:.0f} {y(at):.1f}" for i, at in enumerate(places))
        kind = s.kind or ("top" if sign * s.outcome <= good else "")
        title = tag("title", f"job {s.job.number}: {number(s.outcome)}")
        parts.append(tag("path", title, class_=f"l {kind}".strip(), d=f"M{points}"))
    marks = [*(axis.scale.marks() for axis in axes), [(place(at), label) for at, label in outcome.marks()]]
    for i, (head, each) in enumerate(zip(heads, marks, strict=True)):
        x = left + apart * i
        parts += [svg.rule(x, top, x, bottom, "axis"), svg.text(x, 16, cut(head, 20), "middle title")]
        for at, label in each:
            parts.append(svg.rule(x - 3, y(at), x, y(at), "axis"))
            parts.append(svg.text(x - 6, y(at) + 4, cut(label, 14), "end strong halo"))
    shown = svg.sized(svg.canvas(width, bottom + 14, parts, "parallel coordinates"), width)
    return join(
        [
            tag("h3", "Parallel coordinates: a line per job, the best fifth in blue"),
            note("The last axis is the outcome, better above."),
            tag("div", shown, class_="scroll"),
        ]
    )
