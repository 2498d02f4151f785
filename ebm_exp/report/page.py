"""HTML that cannot be broken by what it shows: all text is escaped unless it is ``Html`` already."""

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


def esc(content: Any) -> Html:
    """Content as HTML; None is nothing."""
    if isinstance(content, Html):
        return content
    return Html("" if content is None else html.escape(str(content)))


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Parts one after the other; those that are None are left out."""
    return Html(between.join(esc(part) for part in parts if part is not None))


def tag(name: str, *content: Any, **attributes: Any) -> Html:
    """An element; attributes that are None are left out, ``class_`` is ``class``, and ``_`` within a name is ``-``."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    inside = "".join(f' {key}="{html.escape(str(value))}"' for key, value in given.items())
    return Html(f"<{name}{inside}>{join(content)}</{name}>")


def section(title: str, *content: Any, said: Any = None) -> Html:
    """A part of the page under its title, none without content; ``said`` tells below it how to read what follows."""
    shown = [part for part in content if part]
    return tag("section", tag("h2", title), note(said) if said else None, *shown) if shown else Html("")


def note(*content: Any) -> Html:
    """A paragraph on the side."""
    return tag("p", *content, class_="note")


def multiples(figures: Iterable[Html], class_: str = "grid") -> Html | None:
    """Figures side by side; None where there are none."""
    shown = list(figures)
    return tag("div", *shown, class_=class_) if shown else None


def table(heads: Sequence[Any], rows: Iterable[Sequence[Any]], numeric: Iterable[int] = (), marked: Any = ()) -> Html:
    """Rows under their heads, in a box that scrolls sideways where it does not fit.

    Args:
        heads: a cell each.
        rows: cells.
        numeric: columns that are set to the right.
        marked: classes of rows by their index.
    """
    right, classes = set(numeric), dict(marked)

    def row(name: str, cells: Sequence[Any], class_: str | None = None) -> Html:
        return tag(
            "tr", *(tag(name, c, class_="num" if i in right else None) for i, c in enumerate(cells)), class_=class_
        )

    body = (row("td", cells, classes.get(i)) for i, cells in enumerate(rows))
    inside = tag("table", tag("thead", row("th", heads)), tag("tbody", *body))
    return tag("div", inside, class_="scroll")


def long_table(
    heads: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    most: int,
    what: str = "",
    numeric: Iterable[int] = (),
    marked: Any = (),
) -> Html:
    """A table of which so many rows are shown; what they are is said of those that a click unfolds."""
    right = tuple(numeric)
    more = f"{len(rows) - most} more{f' {what}' if what else ''}"
    rest = folded(more, table(heads, rows[most:], right)) if rows[most:] else None
    return join([table(heads, rows[:most], right, marked), rest])


def folded(title: Any, *content: Any, is_open: bool = False) -> Html:
    """Content that a click unfolds, without a script."""
    inside = join([tag("summary", title), *content])
    return Html(f"<details{' open' if is_open else ''}>{inside}</details>")


def code(text: str) -> Html:
    """Lines to copy: a click selects them all."""
    return tag("pre", tag("code", text))


def chip(text: Any, kind: str = "") -> Html:
    """A word in a small coloured field."""
    return tag("span", text, class_=f"chip {kind}".strip())


def link(text: Any, path: str) -> Html:
    """A link to a file beside the page."""
    return tag("a", text, href=quote(path))


def figure(content: Any, caption: Any = None) -> Html:
    """A plot or an image with a line about it."""
    return tag("figure", content, tag("figcaption", caption) if caption else None)


def page(title: str, about: Any, *sections: Html) -> str:
    """The whole document, in itself complete."""
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    head = join(
        [
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<link rel="icon" href="data:,">'),  # else a browser asks a server for one
            tag("title", title),
            Html(f"<style>\n{style}</style>"),
        ]
    )
    body = tag("body", tag("header", tag("h1", title), about), tag("main", *sections))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n{body}</html>\n'
