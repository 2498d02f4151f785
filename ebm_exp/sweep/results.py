"""What came of the jobs of a sweep, in lines for the console."""

from collections.abc import Sequence

from ebm_exp.metrics import SCORE
from ebm_exp.sweep.directory import Job
from ebm_exp.sweep.settings import Results, Setting, read
from ebm_exp.text import brief, cut, describe, duration, finite, number, short_keys

__all__ = ["line", "read", "table"]

_ROWS = 12  # of the table, its head and counts included
_NARROWEST = 6  # characters of a column that is cut


def line(job: Job, n: int, keys: Sequence[str]) -> str:
    """How a job ended, ``[3/6] seed=2 step_size=2  5.39 at step 200  7 s``.

    Args:
        job: the job.
        n: jobs in all; 0: it is not known before.
        keys: what varies.
    """
    names = short_keys([*keys, *(key for key in job.values if key not in keys)])
    what = describe(job.values, names)
    of = f"/{n}" if n else ""
    head = " ".join(part for part in (f"[{job.number + 1}{of}]", what) if part)
    return "  ".join(part for part in (head, *_ended(job)) if part)


def _ended(job: Job) -> list[str]:
    because = f"{job.state}: {job.why}" if job.why else job.state
    if job.is_ill:
        return [because, str(job.run.path / "train.log")]
    step, value = job.summary.get("step"), finite(job.best.get("value"))
    at = f" at step {step}" if step is not None else ""
    came = f"{number(value)} at step {job.best.get('step')}" if value is not None else ""
    took = duration(job.summary.get("minutes"))
    if job.state == "finished":
        return [came or f"finished{at}", took]
    return [because if job.why else job.state + at, f"best {came}" if came else "", took]


def table(results: Results, width: int) -> list[str]:
    """The settings with their means over seeds, best first, and how many jobs ended how; at most 12 lines.

    Args:
        results: of the sweep.
        width: characters of a line.
    """
    lines = _tail(results)
    settings = results.ranked
    if settings:
        room = _ROWS - len(lines) - 1 - 1  # what is measured, and the names of the columns
        more = len(settings) > room
        shown = settings[: room - 1] if more else settings
        rows = [_head(results), *([f"… {len(settings) - len(shown)} more"] if more else [])]
        lines = [rows[0], *_columns(results, shown, width), *rows[1:], *lines]
    return [cut(each, max(2, width)) for each in lines]


def _head(results: Results) -> str:
    sides = {"lower": "lower is better", "higher": "higher is better"}
    what = ", ".join(f"{m} ({sides.get(results.directions[m], '?')})" for m in results.metrics)
    front = sum(setting.in_front for setting in results.settings)
    first = f"; the {front} of the Pareto front first" if results.several else ""
    over = ", mean ± s.e. over seeds" if any(setting.n > 1 for setting in results.settings) else ""
    return what + over + first


def _columns(results: Results, settings: Sequence[Setting], width: int) -> list[str]:
    names = short_keys(results.keys)
    heads = [*(names[key] for key in results.keys), *(SCORE.shorten(m) for m in results.metrics), "seeds", ""]
    rows = [
        [
            *(brief(setting.values.get(key, "")) for key in results.keys),
            *(str(setting.means[m]) if m in setting.means else "" for m in results.metrics),
            setting.seeds,
            "default" if setting.is_default else "",
        ]
        for setting in settings
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    n = len(results.keys)
    while n and sum(widths) + 2 * (len(widths) - 1) + 2 > width and max(widths[:n]) > _NARROWEST:
        widths[max(range(n), key=lambda i: widths[i])] -= 1
    cells = ([cut(cell, w).ljust(w) for cell, w in zip(row, widths, strict=True)] for row in (heads, *rows))
    return [("  " + "  ".join(row)).rstrip() for row in cells]


def _tail(results: Results) -> list[str]:
    counts = ", ".join(f"{n} {state}" for state, n in results.counts.items())
    to_come, left = results.to_come, results.left
    rest = f"{to_come} to come" if to_come else f"for {left} more there is nothing new in its space" if left else ""
    lines = [", ".join(part for part in (counts or "no jobs", rest) if part)]
    if {"failed", "diverged"} & results.counts.keys() and not results.is_search:
        lines.append("retry_failed=true does the failed and diverged ones anew")
    return lines
