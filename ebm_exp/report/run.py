"""The report of one run: how it ended, samples over time, curves, energies, what differs from the defaults."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ebm_exp import metrics
from ebm_exp.config import plain
from ebm_exp.config.override import pairs
from ebm_exp.files import read_mapping, show_path
from ebm_exp.report import read
from ebm_exp.report.behaviour import end
from ebm_exp.report.best import seeds_after
from ebm_exp.report.images import Gallery
from ebm_exp.report.jobs import facts
from ebm_exp.report.page import Html, chip, code, figure, folded, join, link, multiples, note, page, section, table, tag
from ebm_exp.report.svg import Curve, lines
from ebm_exp.run import attempt
from ebm_exp.run.about import read_composed
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import command, override, value_text
from ebm_exp.text import duration, finite, number, with_error

_IMAGES, _CHARTS = 6, 120  # of a page: more may stand in what somebody sent


def build(folder: Path) -> str:
    """The page of a run."""
    summary, found = read_mapping(folder / "summary.json"), read.rows(RunDirectory(folder))
    choices, typed, _ = read_composed(folder)
    went_on = attempt.changes(summary)
    overrides = attempt.typed_in_force(typed, went_on)
    state, gallery = str(summary.get("state") or "unknown"), Gallery()
    config = read.child(read_mapping(folder / "job.json"), "config")
    name = read.child(summary, "data").get("name") or config.get("name")
    said: list[object] = [show_path(folder)]
    if (folder.parent / "sweep.json").is_file():
        said += [" · job ", folder.name, " of ", link("a sweep", "../report.html")]
    noted = _notes(folder)
    about = join([tag("p", *said), tag("p", noted) if noted else None, tag("p", chip(state, state))])
    return page(
        f"{name or folder.name}: a run",
        about,
        _outcome(folder, state, summary, found),
        _samples(folder, summary, gallery),
        _next_steps(folder, state, overrides, went_on),
        _evaluation(summary, found),
        _curves(RunDirectory(folder), state, summary, found),
        _others(folder, gallery),
        _differences(folder, choices, overrides, went_on),
        section("Where it comes from", code(shlex.join([*command("train").split(), *typed])), facts(summary)),
    )


def _notes(folder: Path) -> str | None:
    """What its user wrote of it, ``notes=``."""
    try:
        config = plain.read(folder / ".hydra" / "config.yaml")
        return str(config["notes"]) if config["notes"] else None
    except (OSError, plain.PlainError, KeyError, TypeError):
        return None


def _outcome(folder: Path, state: str, summary: Mapping[str, Any], found: read.Rows) -> Html:
    step, took = summary.get("step"), duration(summary.get("minutes"))
    said = state.capitalize() + (f" at step {step}" if step is not None else "") + (f" after {took}" if took else "")
    best = read.child(summary, "best")
    value, at = finite(best.get("value")), best.get("step")
    reached = f", best {best.get('metric')} {number(value)} at step {at}" if value is not None else ""
    reached += f" ({best.get('better')} is better)" if value is not None else ""
    parts = [tag("p", tag("b", said), f"{reached}.", class_="verdict")]
    if summary.get("reason"):
        parts.append(tag("p", str(summary["reason"]), class_="bad" if state in ("failed", "diverged") else "note"))
    if state == "running":
        parts.append(note("It was running when this was written, or was killed."))
    log = folder / "train.log"
    if log.is_file() and log.stat().st_size:
        parts.append(tag("p", "Its messages: ", link("train.log", "train.log")))
    if value is not None and at == step and read.is_compared(found, best):
        parts.append(note("The last evaluation was the best: longer training may well help."))
    return section("How it ended", *parts)


def _next_steps(folder: Path, state: str, overrides: Sequence[str], went_on: Sequence[attempt.Change]) -> Html:
    path, given = show_path(folder), dict(pairs(overrides))
    steps: list[Any] = []
    if state in ("stopped", "running"):
        steps += [tag("h3", "Go on with it"), code(f"{command('train')} {override('resume', path)}")]
    if state in ("finished", "stopped", "pruned"):
        steps += [tag("h3", "Sample from it"), code(f"{command('sample')} {override('run', path)} n_samples=64")]
    if overrides or state == "finished":
        rest = [each for each in overrides if not re.match(r"seed=|hydra[./]|resume=", each)]
        had = [str(each.before["seed"]) for each in went_on if "seed" in each.before]
        again = [*command("train").split(), "-m", seeds_after([given.get("seed", "0"), *had]), *rest]
        steps += [tag("h3", "Train it with other seeds"), code(shlex.join(again))]
        steps += [note("With the values that are in force now, from the first step on.")] if went_on else []
    return section("What to do with it", *steps)


def _evaluation(summary: Mapping[str, Any], found: read.Rows) -> Html:
    last = read.child(summary, "metrics")
    rows = []
    scores = [name for name in last if metrics.is_score(name)]
    for name in scores[:_CHARTS]:
        value, se = finite(last[name]), finite(last.get(metrics.error_of(name)))
        shown = last[name] if value is None else with_error(value, se) if se is not None else number(value)
        points = read.curve(found, name)
        doubt = read.child(summary, "refuted").get(name)
        rows.append([name, shown, f"{points[-1][0]:.0f}" if points else "", str(doubt) if doubt else ""])
    said = list(read.child(summary, "protocol").items())
    protocol = [tag("li", tag("b", k), f": {v}") for k, v in said[:_CHARTS]]
    if (more := max(len(scores), len(said)) - _CHARTS) > 0:
        protocol.append(tag("li", f"Left out: {more:,} more."))
    shown = table(["metric", "last value ± s.e.", "at step", ""], rows, numeric=(1, 2)) if rows else None
    return section("Evaluation", shown, tag("ul", *protocol) if protocol else None)


def _curves(run: RunDirectory, state: str, summary: Mapping[str, Any], found: read.Rows) -> Html:
    drawn = [n for n in read.metrics_of([found]) if not metrics.SCORE_ERROR.holds(n) and n != metrics.MINUTES]
    groups = list(dict.fromkeys((*metrics.GROUPS, *(name.partition("/")[0] for name in drawn))))[:_CHARTS]
    shown: list[Any] = []
    left = _CHARTS
    for group in groups:
        charts = []
        for name in [each for each in drawn if each.partition("/")[0] == group][:left]:
            left -= 1
            points = read.curve(found, name)
            charts.append(lines(name, [Curve(points, name, "best", end(state, summary, found, points))]))
        if together := multiples(figure(each) for each in charts if each):
            shown += [tag("h3", group), together]
    if len(drawn) > _CHARTS:
        shown.append(note(f"Left out: {len(drawn) - _CHARTS:,} of {len(drawn):,} metrics."))
    if read.is_cut(run):
        shown.append(note(f"Left out: rows behind the first {read.MOST_BYTES:,} bytes of metrics.jsonl."))
    return section("Did training behave", *shown)


def _samples(folder: Path, summary: Mapping[str, Any], gallery: Gallery) -> Html:
    images = read.images(folder)
    if not images:
        return Html("")
    is_mosaic = len(read.shape(summary)) == 3
    last = gallery.panels(images[-1][1], f"data, and samples at step {images[-1][0]}", split=is_mosaic)
    first = [figure(last[0], "data")] if len(last) > 1 else []
    shown = [*first, *_pictures(gallery, images, _IMAGES - len(first), "samples", "", is_mosaic)]
    return section("Samples over time", multiples(shown, "grid" if is_mosaic else "wide"), gallery.note())


def _others(folder: Path, gallery: Gallery) -> Html:
    kinds = [kind for kind in read.kinds(folder) if kind != "step"]
    images = [(kind, read.images(folder, kind)) for kind in kinds[:_IMAGES]]
    before = len(gallery.left_out)
    shown = [each for kind, found in images for each in _pictures(gallery, found, 3, kind, f"{kind}, ")]
    more = note(f"Left out: {len(kinds) - _IMAGES:,} more kinds of images.") if len(kinds) > _IMAGES else None
    said = gallery.note() if len(gallery.left_out) > before else None
    return section("Energies", multiples(shown), more, said)


def _pictures(
    gallery: Gallery, images: Sequence[tuple[int, Path]], most: int, what: str, caption: str, split: bool = False
) -> Iterable[Html]:
    for step, file in evenly(images, most):
        if shown := gallery.panels(file, f"{what} at step {step}", split=split):
            yield figure(shown[-1], f"{caption}step {step}")


def evenly(images: Sequence[tuple[int, Path]], most: int) -> list[tuple[int, Path]]:
    """So many images at most, evenly spread, first and last among them."""
    if len(images) <= most:
        return list(images)
    return [images[round(i * (len(images) - 1) / (most - 1))] for i in range(most)]


def _went_on(changes: Sequence[attempt.Change]) -> list[list[Any]]:
    return [
        [f"{each.step:,}", key, value_text(each.before[key]), value_text(now), each.why]
        for each in changes
        for key, now in each.now.items()
    ]


def _differences(
    folder: Path, choices: Mapping[str, str], overrides: Sequence[str], went_on: Sequence[attempt.Change]
) -> Html:
    rows = [[key, value] for key, value in pairs(overrides)]
    parts: list[Any] = [table(["typed", "value"], rows)] if rows else []
    if went_on:
        heads = ["from step", "key", "before", "then", "why"]
        parts += [tag("h3", "It went on with other values"), table(heads, _went_on(went_on), numeric=(0,))]
    if choices and not rows and not went_on:
        parts.append(tag("p", "Nothing was typed: this is the default run."))
    if choices:
        parts.append(folded("The choices of all groups", table(["group", "choice"], sorted(choices.items()))))
    try:
        text = (folder / ".hydra" / "config.yaml").read_text(encoding="utf-8")
        parts.append(folded("The whole config", code(text)))
    except OSError:
        pass
    return section("What differs from the defaults", *parts)
