"""Plots as SVG: lines over steps, points of a slice. Colours are classes that the page's style gives."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ebm_exp.report.page import Html, tag
from ebm_exp.text import cut

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 26, 28
_LOG_FROM = 20.0  # largest over smallest, from which an axis may be logarithmic


class Curve(NamedTuple):
    """A line.

    Attributes:
        points: (x, y), finite.
        label: shown under the pointer.
        kind: "", ``best`` or ``default``.
        cross: where it ended badly; None: it did not.
    """

    points: list[tuple[float, float]]
    label: str = ""
    kind: str = ""
    cross: tuple[float, float | None] | None = None


class Scale(NamedTuple):
    """Values to places between 0 and 1."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, self.low * 1e-3))
        return (value - low) / (high - low)

    def ticks(self, n: int = 5) -> list[float]:
        """Round values within."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            every = max(1, math.ceil(len(powers) / n))
            if len(powers) >= 2:
                return [10.0**power for power in powers[::every]]
            inside = [m * 10.0**p for p in range(math.floor(math.log10(self.low)), 20) for m in (1, 2, 5)][:12]
            return [each for each in inside if self.low <= each <= self.high]
        step = _round_step((self.high - self.low) / n)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    def marks(self) -> list[tuple[float, str]]:
        """Places and labels of the ticks."""
        return [(self(tick), short(tick)) for tick in self.ticks()]


class Places(NamedTuple):
    """Words to places between 0 and 1, evenly."""

    words: tuple[str, ...]

    def __call__(self, word: str) -> float:
        return (self.words.index(word) + 0.5) / len(self.words)

    def marks(self) -> list[tuple[float, str]]:
        """Places and labels; every so many where they are too many."""
        every = -(-len(self.words) // 8)
        longest = max(4, 48 * every // len(self.words))
        return [(self(word), cut(word, longest)) for word in self.words[::every]]


def scale(values: Iterable[float], margin: float = 0.05, log: bool | None = None) -> Scale:
    """A scale that takes in all values; log: None decides by where it puts the middle one of them."""
    known = sorted(values) or [0.0, 1.0]
    low, high = known[0], known[-1]
    if log is None and (log := low > 0 and high / low >= _LOG_FROM):
        off = [abs(axis(known[len(known) // 2]) - 0.5) for axis in (Scale(low, high, True), Scale(low, high))]
        log = off[0] < off[1]
    if log and low > 0:
        factor = (high / low) ** margin if high > low else 2.0
        return Scale(low / factor, high * factor, True)
    pad = (high - low) * margin or abs(high) * 0.1 or 1.0
    return Scale(low - pad, high + pad)


def spread(values: Sequence[float]) -> tuple[list[float], bool]:
    """Values without the few that would squeeze all others, and whether there were such."""
    if len(values) < 20:
        return list(values), False
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 50], ordered[-1 - len(ordered) // 50]
    room = 3 * (high - low)
    kept = [value for value in ordered if low - room <= value <= high + room]
    return (kept, len(kept) < len(ordered)) if high > low else (ordered, False)


def lines(title: str, curves: Sequence[Curve], x_label: str = "step") -> Html:
    """Curves over steps; what lies far outside of the others is cut, and the title says so."""
    values, is_cut = spread([y for curve in curves for _, y in curve.points])
    ends = [curve.cross[0] for curve in curves if curve.cross]
    xs = [x for curve in curves for x, _ in curve.points] + ends
    if not values or not xs:
        return Html("")
    x_axis, y_axis = scale([0, *xs], 0.0), scale(values)
    drawn = [each for kind in ("", "default", "best") for each in curves if each.kind == kind]
    inside = [_line(curve, x_axis, y_axis) for curve in drawn] + [_cross(curve, x_axis, y_axis) for curve in drawn]
    return frame(title + (" (outliers cut)" if is_cut else ""), x_axis, y_axis, inside, x_label)


def frame(title: str, x_axis: Scale | Places, y_axis: Scale, inside: Iterable[Any], x_label: str) -> Html:
    """Axes with their ticks around a plot."""
    parts: list[Any] = [text(LEFT - 40, 14, title, "title")]
    for at, label in y_axis.marks():
        parts += [rule(LEFT, y := place_y(at), WIDTH - RIGHT, y), text(LEFT - 5, y + 4, label, "end")]
    parts += [text(place_x(at), HEIGHT - BOTTOM + 14, label, "middle") for at, label in x_axis.marks()]
    parts.append(rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM))
    parts.append(text(WIDTH - RIGHT, HEIGHT - 3, x_label, "end"))
    box = {"x": LEFT, "y": TOP - 6, "width": WIDTH - LEFT - RIGHT + 6, "height": HEIGHT - TOP - BOTTOM + 8}
    parts.append(tag("svg", *inside, viewBox=" ".join(map(str, box.values())), **box))  # what lies outside is clipped
    return canvas(WIDTH, HEIGHT, parts, title)


def canvas(width: float, height: float, parts: Iterable[Any], label: str, class_: str | None = None) -> Html:
    """A whole image."""
    return tag("svg", *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label, class_=class_)


def sized(plot: Html, width: float) -> Html:
    """A plot that keeps its width, whatever there is around it."""
    return Html(plot.replace("<svg", f'<svg style="width:{width:.0f}px"', 1))


def place_x(at: float) -> float:
    """Pixels from the left, of a place between 0 and 1 on an axis."""
    return LEFT + at * (WIDTH - LEFT - RIGHT)


def place_y(at: float) -> float:
    """Pixels from the top, in bounds that the clip needs not see."""
    return min(max(HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM), -HEIGHT), 2 * HEIGHT)


def text(x: float, y: float, content: Any, class_: str | None = None) -> Html:
    """Words at a place."""
    return tag("text", content, x=f"{x:.1f}", y=f"{y:.1f}", class_=class_)


def rule(x1: float, y1: float, x2: float, y2: float, class_: str = "rule") -> Html:
    """A straight line."""
    return Html(f'<path class="{class_}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')


def point(x: float, y: float, label: str, kind: str = "", radius: float = 3.5) -> Html:
    """A dot with its label under the pointer."""
    return tag("circle", tag("title", label), cx=f"{x:.1f}", cy=f"{y:.1f}", r=f"{radius:g}", class_=f"p {kind}".strip())


def cross(x: float, y: float, label: str) -> Html:
    """The mark of what ended badly."""
    path = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
    return tag("path", tag("title", label), class_="x", d=path)


def short(value: float) -> str:
    """A tick's number: ``20k``, ``1e-5``, ``0.25``."""
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e7):
        mantissa, _, power = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(power)}"
    return f"{value / 1000:g}k" if size >= 10000 else f"{value:.6g}"


def _line(curve: Curve, x_axis: Scale, y_axis: Scale) -> Html | None:
    if not curve.points:
        return None
    where = [(place_x(x_axis(x)), place_y(y_axis(y))) for x, y in curve.points]
    class_, label = f"l {curve.kind}".strip(), tag("title", curve.label)
    if len(where) == 1:
        return point(*where[0], curve.label, curve.kind, 2.5)
    first, *others = (f"{x:.1f} {y:.1f}" for x, y in where)
    return tag("path", label, class_=class_, d=f"M{first}L{' '.join(others)}")


def _cross(curve: Curve, x_axis: Scale, y_axis: Scale) -> Html | None:
    if curve.cross is None:
        return None
    x, y = curve.cross
    top = TOP + 4.0
    at = top if y is None else min(max(place_y(y_axis(y)), top), HEIGHT - BOTTOM - 4)
    return cross(min(max(place_x(x_axis(x)), LEFT + 5), WIDTH - RIGHT - 1), at, curve.label)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
