"""Plots of several keys at once: a heat map of two, parallel coordinates of all."""

from collections.abc import Mapping, Sequence

from ebm_exp.report.page import Html, tag
from ebm_exp.report.svg import canvas, cut, rule, sized, text
from ebm_exp.sweep.text import number

_CELL, _TALL = (84, 40), 230  # pixels of a cell; of parallel coordinates
_APART, _PAGE = (110, 240), 940  # pixels between axes, and of all of them

Marks = list[tuple[float, str]]


def heat_map(
    means: Mapping[tuple[str, str], float],
    rows: Sequence[str],
    columns: Sequence[str],
    names: tuple[str, str],
    lower: bool,
) -> Html:
    """Means of settings: a row per value of the first key, a column per value of the second; better is darker."""
    left, top, (w, h) = 96, 40, _CELL
    order = sorted(means.values(), reverse=lower)  # by rank, so that one bad cell does not wash out all others
    parts = [text(left + w * len(columns) / 2, 14, names[1], "middle title"), text(8, top - 8, names[0], "title")]
    parts += [text(left + w * (j + 0.5), top - 8, cut(c, 12), "middle strong") for j, c in enumerate(columns)]
    for i, row in enumerate(rows):
        parts.append(text(left - 8, top + h * (i + 0.5) + 4, cut(row, 13), "end strong"))
        for j, column in enumerate(columns):
            mean = means.get((row, column))
            x, y = left + w * j, top + h * i
            rank = 0.0 if mean is None else (order.index(mean) + 1) / len(order)
            size = f'x="{x}" y="{y}" width="{w}" height="{h}"'
            parts.append(Html(f'<rect class="cell" {size} fill-opacity="{0.08 + 0.5 * rank:.2f}"/>'))
            parts.append(text(x + w / 2, y + h / 2 + 4, "–" if mean is None else number(mean), "middle strong"))
    width = left + w * len(columns) + 8
    return sized(canvas(width, top + h * len(rows) + 6, parts, f"{names[0]} and {names[1]}"), width)


def parallel(heads: Sequence[str], marks: Sequence[Marks], lines: Sequence[tuple[list[float], str, str]]) -> Html:
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
        parts += [rule(x, top, x, bottom, "axis"), text(x, 16, cut(head, 20), "middle title")]
        for at, label in each:
            parts += [rule(x - 3, y(at), x, y(at), "axis"), text(x - 6, y(at) + 4, cut(label, 14), "end strong halo")]
    return sized(canvas(width, bottom + 14, parts, "parallel coordinates"), width)
