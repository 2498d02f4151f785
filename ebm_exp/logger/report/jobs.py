"""Settings with their seeds together, all jobs, and where it all comes from."""

import shlex
from collections.abc import Sequence

from ebm_exp.logger.report.page import Html, chip, code, folded, join, link, section, table, tag
from ebm_exp.logger.report.read import child
from ebm_exp.logger.report.svg import Scale, canvas, place_x, point, rule, scale, short, text
from ebm_exp.logger.report.trust import log, reason
from ebm_exp.logger.report.winner import Story, errors_between
from ebm_exp.sweep.results import duration, pairs
from ebm_exp.sweep.settings import Setting, number, score

_OPEN = 20  # rows that are shown unasked


def settings(story: Story) -> Html:
    """A row per setting: its mean, its seeds on one axis, how far behind the best it is."""
    ranked, metric = story.ranked, story.metric
    if not ranked or metric is None:
        return Html("")
    results, several = story.results, len(story.results.metrics) > 1
    names = [story.names[key] for key in results.keys]
    heads = [*names, *results.metrics, "" if several else "seeds, mean ± s.e.", "n", "behind the best", ""]
    values = [v for s in ranked for v in _seeds(story, s)]
    axis = scale(values, log=False)
    rows = [
        [
            *(s.values.get(key, "") for key in results.keys),
            *(str(s.means[m]) if m in s.means else "" for m in results.metrics),
            None if several else _strip(story, s, axis),
            _n(s),
            "" if several or s is ranked[0] else _behind(story, s),
            _marks(story, s),
        ]
        for s in ranked
    ]
    k = len(results.keys) + len(results.metrics)
    marked = {i: story.kind(s) for i, s in enumerate(ranked)}
    numeric = (*range(len(results.keys), k), k + 1, k + 2)
    if not several:
        heads[k] = join(["seeds; bar: mean ± s.e.", _axis(axis)])
    shown = table(heads, rows[:_OPEN], numeric, marked)
    rest = folded(f"{len(rows) - _OPEN} more settings", table(heads, rows[_OPEN:], numeric)) if rows[_OPEN:] else None
    unranked = [s for s in results.settings if not s.means]
    note = f"{len(unranked)} settings have no finished job." if unranked else None
    return section("Settings, seeds together", shown, rest, note=note)


def _seeds(story: Story, setting: Setting) -> list[float]:
    metric, alone = story.metric or "", len(story.results.metrics) == 1
    scores = [score(job, metric, alone) for job in setting.jobs if job.state == "finished"]
    return [value for value in scores if value is not None]


def _strip(story: Story, setting: Setting, axis: Scale) -> Html:
    mean = setting.means.get(story.metric or "")
    if mean is None:
        return Html("")
    parts = [rule(48, 9, 310, 9)]
    if mean.se is not None:
        low, high = (place_x(axis, mean.value + side * mean.se) for side in (-1, 1))
        parts += [rule(low, 9, high, 9, "l best"), rule(place_x(axis, mean.value), 4, place_x(axis, mean.value), 14, "l best")]
    values = _seeds(story, setting)
    parts += [point(place_x(axis, value), 9, number(value), "" if len(values) > 1 else "best", 3) for value in values]
    return Html(canvas(320, 18, parts, str(mean)).replace("<svg", '<svg style="width:230px"', 1))


def _axis(axis: Scale) -> Html:
    parts = [text(place_x(axis, tick), 10, short(tick), "middle") for tick in axis.ticks(4)]
    return Html(canvas(320, 14, parts, "axis").replace("<svg", '<svg style="width:230px"', 1))


def _n(setting: Setting) -> str:
    n = max(mean.n for mean in setting.means.values())
    return str(n) if n == len(setting.jobs) else f"{n} of {len(setting.jobs)}"


def _behind(story: Story, setting: Setting) -> str:
    z = errors_between(story, story.ranked[0], setting)
    return f"{z:.1f} s.e." if z is not None else ""


def _marks(story: Story, setting: Setting) -> Html:
    marks = []
    if setting is story.ranked[0] and len(story.results.metrics) == 1:
        marks.append(chip("best", "best"))
    if setting.in_front and len(story.results.metrics) > 1:
        marks.append(chip("front", "best"))
    return join([*marks, chip("default", "default") if setting.is_default else None])


def jobs(story: Story) -> Html:
    """A row per job."""
    results, kinds = story.results, story.kinds()
    if not results.jobs:
        return Html("")
    keys = [key for key in results.record.get("keys") or list(dict(pairs(o for j in results.jobs for o in j.overrides)))]
    last = sorted(set().union(*(child(job.summary, "metrics") for job in results.jobs)) - set(results.metrics))
    more = [m for m in last if m.startswith("eval/") and not m.endswith("_se")][:4]
    heads = ["job", "state", *(story.names.get(k, k) for k in keys), *results.metrics, "at step", *more, "steps", "time", "log"]
    rows = []
    for job in results.jobs:
        values = dict(pairs(job.overrides))
        alone = len(results.metrics) == 1
        metrics = [score(job, m, alone) for m in results.metrics]
        others = [child(job.summary, "metrics").get(m) for m in more]
        rows.append(
            [
                link(job.number, f"{job.number}/"),
                tag("span", chip(job.state, job.state), title=reason(job) or None),
                *(values.get(key, "") for key in keys),
                *("" if value is None else number(value) for value in metrics),
                job.best.get("step"),
                *(number(v) if isinstance(v, int | float) else v for v in others),
                job.summary.get("step"),
                duration(job.summary.get("minutes")),
                log(job),
            ]
        )
    first = 2 + len(keys)
    numeric = range(first, len(heads) - 1)
    marked = {i: kinds.get(job.number, "") for i, job in enumerate(results.jobs)}
    shown = table(heads, rows, numeric, marked)
    return section("All jobs", shown if len(rows) <= _OPEN else folded(f"{len(rows)} jobs", shown))


def origin(story: Story) -> Html:
    """The command line, versions, data."""
    record = story.results.record
    command: Sequence[str] = [str(each) for each in record.get("command") or []]
    summaries = [job.summary for job in story.results.jobs if job.summary.get("versions")]
    return section("Where it comes from", code(shlex.join(command)) if command else None, facts(summaries[-1] if summaries else {}))


def facts(summary: dict[str, object]) -> Html:
    """What a run says of its machine, its data and its versions, in a table."""
    data = child(summary, "data")
    versions = ", ".join(f"{name} {version}" for name, version in child(summary, "versions").items())
    shape = "×".join(str(n) for n in data.get("event_shape") or [])
    told = {
        "data": " · ".join(
            str(each) for each in (data.get("name"), shape, f"{data.get('n_train')} for training, {data.get('n_test')} to test", data.get("fingerprint")) if each
        ) if data else None,
        "device": summary.get("device"),
        "precision": summary.get("precision"),
        "parameters": f"{summary['n_parameters']:,}" if isinstance(summary.get("n_parameters"), int) else None,
        "versions": versions,
        "commit": summary.get("commit"),
        "host": summary.get("host"),
    }  # fmt: skip
    rows = [[key, value] for key, value in told.items() if value]
    return table(["", ""], rows) if rows else Html("")
