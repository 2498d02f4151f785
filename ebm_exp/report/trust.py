"""Whether a sweep can be trusted: what did not finish and why, and what differs between jobs that should not."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from ebm_exp.report.page import Html, chip, folded, join, link, long_table, note, section, table, tag
from ebm_exp.report.read import child, is_compared
from ebm_exp.report.story import Story
from ebm_exp.run.attempt import changes
from ebm_exp.sweep.directory import Job
from ebm_exp.text import finite, number

_ILL = ("failed", "diverged", "unreadable", "killed")
_CUT = ("pruned", "stopped", "running", "waiting")
_FIRST = 12  # rows that are shown unasked
_OF = "version of "


def trust(story: Story) -> Html:
    """The section."""
    counts = tag("p", chips(story))
    return section("Can it be trusted", counts, _notes(story), _protocol(story), _ill(story), _unfinished(story))


def chips(story: Story) -> Html:
    """How many jobs ended how."""
    results = story.results
    said = [chip(f"{n} {state}", state) for state, n in results.counts.items()]
    return join([*said, chip(f"{results.to_come} to come") if results.to_come else None])


def _notes(story: Story) -> Html | None:
    """What a reader should know, each a line; what differs first."""
    finished, varied = story.results.finished, _varied(story)
    if not finished:
        return None
    lines, agrees = [], []
    for what, value in _SAME.items():
        found = _group(finished, value)
        if len(found) > 1 and what not in varied:
            shown = ", ".join(f"{each} (jobs {_numbers(n)})" for each, n in found.items())
            lines.append(_warning(tag("b", f"{what} differs: "), shown))
        elif found and what not in varied:
            agrees.append(what)
    if "data" in varied:
        said = "Jobs differ in their data: values on one data set do not compare with those on another."
        lines.append(_warning(said))
    for name in dict.fromkeys(name for job in finished for name in child(job.summary, "protocol")):
        found = _group(finished, partial(_look_up, "protocol", name, default="not evaluated"))
        if len(found) > 1:
            protocols = (tag("li", f"jobs {_numbers(n)}: {said}") for said, n in found.items())
            title = tag("b", f"The protocol of {name} differs, its values do not compare: ")
            lines.append(_warning(title, tag("ul", *protocols)))
    for job in story.results.jobs:
        lines += [_warning(f"Job {job.number} went on otherwise {each}.") for each in changes(job.summary)]
    lines += _of_training(story)
    versions = [what.removeprefix(_OF) for what in agrees if what.startswith(_OF)]
    agrees = [what for what in agrees if not what.startswith(_OF)]
    agrees += [f"versions of {', '.join(versions[:-1])} and {versions[-1]}"] if len(versions) > 1 else []
    return tag("ul", *lines, tag("li", f"The same in all finished jobs: {', '.join(agrees)}.") if agrees else None)


def _group(jobs: Sequence[Job], value: Callable[[Job], Any]) -> dict[str, list[int]]:
    """The numbers of jobs by what they say, as far as they say it."""
    found: dict[str, list[int]] = {}
    for job in jobs:
        if (said := value(job)) not in (None, "", {}):
            found.setdefault(str(said), []).append(job.number)
    return found


def _warning(*content: Any) -> Html:
    return tag("li", *content, class_="warn")


def _of_training(story: Story) -> Iterable[Html]:
    compared = [job for job in story.results.finished if is_compared(story.rows.get(job.number, []), job.best)]
    best = [(job.best.get("step"), job.summary.get("step")) for job in compared]
    last = sum(a == b for a, b in best if a is not None)
    if best and last > len(best) / 2:
        yield tag(
            "li",
            f"{last} of {len(best)} finished jobs were best at their last evaluation: they were still improving, "
            "and longer training may change the order.",
        )
    if single := sum(setting.n == 1 for setting in story.ranked):
        yield tag("li", f"{single} of {len(story.ranked)} settings have one seed: their spread over seeds is unknown.")
    for each in story.ranked:
        if n := sum(job.is_ill for job in each.jobs):
            of = f"{n} of {len(each.jobs)} seeds"
            yield _warning(f"{story.label(each)}: {of} failed or diverged and are not in its mean.")


def _protocol(story: Story) -> Html | None:
    said = next((found for job in story.results.finished if (found := child(job.summary, "protocol"))), {})
    return note("Evaluated with ", *(join([tag("b", k), f": {v}. "]) for k, v in said.items())) if said else None


def _ill(story: Story) -> Html | None:
    heads = ["job", "state", "values", "reason", "log"]
    rows = [[*_who(story, job), reason(job), log(job)] for job in story.results.jobs if job.state in _ILL]
    return join([tag("h3", "What failed, and why"), long_table(heads, rows, _FIRST)]) if rows else None


def _unfinished(story: Story) -> Html | None:
    heads = ["job", "state", "values", "at step", "best so far", "why"]
    rows = []
    for job in (each for each in story.results.jobs if each.state in _CUT):
        best = finite(job.best.get("value"))
        value = "" if best is None else number(best)
        rows.append([*_who(story, job), job.summary.get("step"), value, reason(job)])
    shown = table(heads, rows, numeric=(3, 4))
    return folded(f"{len(rows)} pruned or not finished", shown, is_open=len(rows) <= _FIRST) if rows else None


def _who(story: Story, job: Job) -> tuple[Any, ...]:
    return job.number, chip(job.state, job.state), story.describe(job)


def reason(job: Job) -> str:
    """Why a job ended as it did, in one line."""
    known = {
        "unreadable": "job.json or summary.json cannot be read",
        "killed": "its process is gone; the same command goes on",
    }
    return known.get(job.state) or job.why


def log(job: Job) -> Html | None:
    """A link to its log."""
    there = (job.run.path / "train.log").is_file()
    return link(f"{job.number}/train.log", f"{job.number}/train.log") if there else None


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown} and {len(numbers) - 8} more" if len(numbers) > 8 else shown


def _varied(story: Story) -> set[str]:
    keys = set(story.results.keys)
    off = {"precision": "engine.precision", "steps": "trainer.max_steps", "device": "device"}
    varied = {what for what, key in off.items() if key in keys}
    return varied | ({"data"} if any(key.split(".")[0] in ("dataset", "experiment") for key in keys) else set())


def _data(job: Job) -> Any:
    facts = child(job.summary, "data")
    said = (facts.get("name"), facts.get("fingerprint"), f"{facts.get('n_train')} for training")
    return " ".join(str(each) for each in said if each) if facts else None


def _look_up(node: str, key: str, job: Job, default: Any = None) -> Any:
    return child(job.summary, node).get(key, default)


_SAME: dict[str, Callable[[Job], Any]] = {  # what should be the same in all jobs
    "data": _data,
    "device": lambda job: job.summary.get("device"),
    "precision": lambda job: job.summary.get("precision"),
    "steps": lambda job: job.summary.get("step"),
    **{
        f"{_OF}{name}": partial(_look_up, "versions", name)
        for name in ("ebm-exp", "torch", "python", "hydra-core", "omegaconf")
    },
    "commit": partial(_look_up, "code", "commit"),
    "uncommitted code": partial(_look_up, "code", "diff"),
}
