"""Settings with their seeds together, all jobs, and where it all comes from."""

import shlex
from collections.abc import Mapping
from typing import Any

from ebm_exp.metrics import is_score
from ebm_exp.report.difference import compare
from ebm_exp.report.page import Html, chip, code, folded, join, link, long_table, section, table, tag
from ebm_exp.report.read import child, shape
from ebm_exp.report.story import Story
from ebm_exp.report.svg import Scale, canvas, point, rule, scale, short, sized, text
from ebm_exp.report.trust import log, reason
from ebm_exp.sweep.settings import Setting
from ebm_exp.text import brief, duration, number

_OPEN = 20  # rows that are shown unasked
_STRIP = 240  # pixels, of the axis that all settings share


def settings(story: Story) -> Html:
    """A row per setting: its mean, its seeds on one axis, how far behind the best it is."""
    ranked, results, several = story.ranked, story.results, story.results.several
    if not ranked:
        return Html("")
    axis = scale(v for s in ranked for v in _seeds(story, s))
    behind = ["" if several or s is ranked[0] else _behind(story, s) for s in ranked]
    what = "seeds, and mean ± s.e." if any(s.n > 1 for s in ranked) else story.metric
    heads = ["", *(story.names[key] for key in results.keys), *results.metrics, "seeds"]
    heads += [] if several else [join([tag("div", what), _axis(axis)])]
    heads += ["behind the best"] if any(behind) else []
    rows = [
        [
            _marks(story, s),
            *(brief(s.values.get(key, "")) for key in results.keys),
            *(s.means.get(m) for m in results.metrics),
            s.seeds,
            *(() if several else (_strip(story, s, axis),)),
            *((late,) if any(behind) else ()),
        ]
        for s, late in zip(ranked, behind, strict=True)
    ]
    first = 1 + len(results.keys)
    numeric = {*range(first, first + len(results.metrics) + 1), *([len(heads) - 1] if any(behind) else [])}
    shown = long_table(heads, rows, _OPEN, "settings", numeric, [(i, story.kind(s)) for i, s in enumerate(ranked)])
    unranked = len(results.settings) - len(ranked)
    told = [f"{unranked} settings have no finished job." if unranked else "", "" if several else _errors(story)]
    return section("Settings, seeds together", shown, said=" ".join(each for each in told if each))


def _seeds(story: Story, setting: Setting) -> list[float]:
    scores = [story.results.score(job, story.metric) for job in setting.jobs if job.state == "finished"]
    return [value for value in scores if value is not None]


def _strip(story: Story, setting: Setting, axis: Scale) -> Html:
    mean, kind = setting.means[story.metric], story.kind(setting)
    middle = _at(axis, mean.value)
    parts = [rule(0, 9, _STRIP, 9)]
    if mean.se is not None:
        low, high = (_at(axis, mean.value + side * mean.se) for side in (-1, 1))
        parts += [rule(low, 9, high, 9, f"l thick {kind}"), rule(middle, 3, middle, 15, f"l thick {kind}")]
    for value in _seeds(story, setting):
        parts.append(point(_at(axis, value), 9, number(value), "" if mean.se is not None else kind, 3))
    return sized(canvas(_STRIP, 18, parts, str(mean)), _STRIP)


def _axis(axis: Scale) -> Html:
    parts = [text(_at(axis, tick), 11, short(tick), "middle") for tick in axis.ticks(4)]
    return sized(canvas(_STRIP, 14, parts, "axis"), _STRIP)


def _at(axis: Scale, value: float) -> float:
    return 10 + min(1.0, max(0.0, axis(value))) * (_STRIP - 20)


def _behind(story: Story, setting: Setting) -> str:
    apart = compare(story, story.ranked[0], setting)
    if apart.se is None:
        return ""
    return f"{apart}" if apart.is_told_apart else f"{apart}, not told apart"


def _errors(story: Story) -> str:
    of = {of for se, of in map(story.spread, story.ranked) if se is not None}
    single = " With one seed that is the error of one evaluation, without the spread of seeds."
    if not of or len(story.ranked) == 1:
        return ""
    told = "Behind the best: the difference and its 95 % interval, by Student's t where seeds are few."
    return told + (single if "evaluation" in of else "")


def _marks(story: Story, setting: Setting) -> Html:
    name = "front" if story.results.several else "best"
    is_best = story.kind(setting) == "best"
    return join([chip(name, "best") if is_best else None, chip("default", "default") if setting.is_default else None])


def jobs(story: Story) -> Html:
    """A row per job."""
    results, kinds = story.results, story.kinds()
    if not results.jobs:
        return Html("")
    keys = results.record["keys"] or list(dict.fromkeys(key for job in results.jobs for key in job.values))
    last = set().union(*(child(job.summary, "metrics") for job in results.jobs)) - set(results.metrics)
    more = [m for m in sorted(last) if is_score(m)][:4]
    names = [story.names.get(key, key) for key in keys]
    heads = ["job", "state", *names, *results.metrics, "at step", *more, "steps", "time", "log"]
    rows = []
    for job in results.jobs:
        page = "report.html" if (job.run.path / "report.html").is_file() else ""
        scores = [results.score(job, m) for m in results.metrics]
        others = [child(job.summary, "metrics").get(m) for m in more]
        rows.append(
            [
                link(job.number, f"{job.number}/{page}"),
                tag("span", chip(job.state, job.state), title=reason(job) or None),
                *(brief(job.values.get(key, "")) for key in keys),
                *("" if value is None else number(value) for value in scores),
                job.best.get("step"),
                *(number(v) if isinstance(v, int | float) else v for v in others),
                job.summary.get("step"),
                duration(job.summary.get("minutes")),
                log(job),
            ]
        )
    marked = [(i, kinds.get(job.number, "")) for i, job in enumerate(results.jobs)]
    shown = table(heads, rows, range(2 + len(keys), len(heads) - 1), marked)
    return section("All jobs", shown if len(rows) <= _OPEN else folded(f"{len(rows)} jobs", shown))


def origin(story: Story) -> Html:
    """The command line, versions, data."""
    command = story.results.record["command"]
    every = [*(job for setting in story.ranked for job in setting.jobs), *story.results.jobs]
    said: dict[str, Any] = next((job.summary for job in every if job.summary.get("versions")), {})
    return section("Where it comes from", code(shlex.join(command)) if command else None, facts(said))


def facts(summary: Mapping[str, Any]) -> Html | None:
    """What a run says of its machine, its data and its versions, in a table."""
    data, code = child(summary, "data"), child(summary, "code")
    sizes = f"{data.get('n_train')} for training, {data.get('n_test')} to test" if data else None
    size = "×".join(map(str, shape(summary)))
    told = {
        "data": " · ".join(str(each) for each in (data.get("name"), size, sizes, data.get("fingerprint")) if each),
        "device": summary.get("device"),
        "precision": summary.get("precision"),
        "parameters": f"{summary['n_parameters']:,}" if isinstance(summary.get("n_parameters"), int) else None,
        "versions": ", ".join(f"{name} {version}" for name, version in child(summary, "versions").items()),
        "code": " and ".join(str(each) for each in (code.get("commit"), code.get("diff")) if each),
        "host": summary.get("host"),
    }
    rows = [each for each in told.items() if each[1]]
    return table(["", ""], rows) if rows else None
