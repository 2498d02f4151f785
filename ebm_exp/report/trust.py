"""Whether a sweep can be trusted: what did not finish and why, and what differs between jobs that should not."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ebm_exp.config.override import pairs
from ebm_exp.report.page import Html, chip, folded, join, link, section, table, tag
from ebm_exp.report.read import child
from ebm_exp.report.winner import Story
from ebm_exp.sweep.directory import Job
from ebm_exp.text import brief, finite

_ILL = ("failed", "diverged", "unreadable", "killed")
_FIRST = 12  # rows that are shown unasked
_OF = "version of "
_CUT = ("pruned", "stopped", "running", "waiting")


def trust(story: Story) -> Html:
    """The section."""
    return section(
        "Can it be trusted", _counts(story), _notes(story), _protocol(story), _ill(story), _unfinished(story)
    )


def chips(story: Story) -> Html:
    """How many jobs ended how."""
    results = story.results
    said = [chip(f"{n} {state}", state) for state, n in results.counts.items()]
    if results.to_come:
        said.append(chip(f"{results.to_come} to come"))
    return join(said)


def _counts(story: Story) -> Html:
    return tag("p", chips(story))


def _notes(story: Story) -> Html | None:
    """What a reader should know, each a line; what differs first."""
    finished = [job for job in story.results.jobs if job.state == "finished"]
    if not finished:
        return None
    differs, agrees = [], []
    for what, value in _SAME:
        if what in _varied(story):
            continue
        found = [(str(each), job.number) for job in finished if (each := value(job)) not in (None, "", {})]
        counts = Counter(each for each, _ in found)
        if len(counts) > 1:
            shown = ", ".join(f"{each} (jobs {_numbers([n for e, n in found if e == each])})" for each in counts)
            differs.append(tag("li", tag("b", f"{what} differs: "), shown, class_="warn"))
        elif counts:
            agrees.append(what)
    versions = [what.removeprefix(_OF) for what in agrees if what.startswith(_OF)]
    agrees = [what for what in agrees if not what.startswith(_OF)]
    agrees += [f"versions of {' and '.join([', '.join(versions[:-1]), versions[-1]])}"] if len(versions) > 1 else []
    if "data" in _varied(story):
        said = "Jobs differ in their data: values on one data set do not compare with those on another."
        differs.append(tag("li", said, class_="warn"))
    lines = [*differs, *_protocol_differs(finished), *_of_training(story, finished)]
    if agrees:
        lines.append(tag("li", f"The same in all finished jobs: {', '.join(agrees)}."))
    return tag("ul", *lines)


def _of_training(story: Story, finished: Sequence[Job]) -> Iterable[Html]:
    best = [(job.best.get("step"), job.summary.get("step")) for job in finished if job.best]
    last = sum(a == b for a, b in best if a is not None)
    if best and last > len(best) / 2:
        yield tag(
            "li",
            f"{last} of {len(best)} finished jobs were best at their last evaluation: they were still improving, "
            "and longer training may change the order.",
        )
    single = sum(1 for each in story.ranked if max(mean.n for mean in each.means.values()) == 1)
    if single:
        yield tag("li", f"{single} of {len(story.ranked)} settings have one seed: their spread over seeds is unknown.")
    ill = [s for s in story.ranked if any(job.state in ("failed", "diverged") for job in s.jobs)]
    for each in ill:
        n = sum(job.state in ("failed", "diverged") for job in each.jobs)
        yield tag(
            "li", f"{story.label(each)}: {n} of {len(each.jobs)} seeds failed or diverged and are not in its mean.",
            class_="warn",
        )  # fmt: skip


def _protocol_differs(finished: Sequence[Job]) -> Iterable[Html]:
    names = dict.fromkeys(name for job in finished for name in child(job.summary, "protocol"))
    for name in names:
        found: dict[str, list[int]] = {}
        for job in finished:
            found.setdefault(str(child(job.summary, "protocol").get(name, "not evaluated")), []).append(job.number)
        if len(found) > 1:
            shown = (tag("li", f"jobs {_numbers(n)}: {said}") for said, n in found.items())
            yield tag(
                "li", tag("b", f"The protocol of {name} differs, its values do not compare: "), tag("ul", *shown),
                class_="warn",
            )  # fmt: skip


def _protocol(story: Story) -> Html | None:
    finished = [job for job in story.results.jobs if job.state == "finished" and child(job.summary, "protocol")]
    if not finished:
        return None
    said = child(finished[0].summary, "protocol")
    return tag("p", "Evaluated with ", *(join([tag("b", k), f": {v}. "]) for k, v in said.items()), class_="note")


def _ill(story: Story) -> Html | None:
    ill = [job for job in story.results.jobs if job.state in _ILL]
    if not ill:
        return None
    rows = [[job.number, chip(job.state, job.state), _what(story, job), reason(job), log(job)] for job in ill]
    heads = ["job", "state", "values", "reason", "log"]
    more = folded(f"{len(rows) - _FIRST} more", table(heads, rows[_FIRST:])) if rows[_FIRST:] else None
    return join([tag("h3", "What failed, and why"), table(heads, rows[:_FIRST]), more])


def _unfinished(story: Story) -> Html | None:
    cut = [job for job in story.results.jobs if job.state in _CUT]
    if not cut:
        return None
    heads = ["job", "state", "values", "at step", "best so far", "why"]
    rows = [
        [job.number, chip(job.state, job.state), _what(story, job), job.summary.get("step"), best(job), reason(job)]
        for job in cut
    ]
    return folded(f"{len(cut)} pruned or not finished", table(heads, rows, numeric=(3, 4)), is_open=len(cut) <= _FIRST)


def reason(job: Job) -> Any:
    """Why a job ended as it did, in one line."""
    if job.state == "unreadable":
        return "job.json or summary.json cannot be read"
    if job.state == "killed":
        return "its process is gone; the same command goes on"
    return next(iter(str(job.reason or "").splitlines()), "")


def log(job: Job) -> Html | None:
    """A link to its log."""
    there = (job.run.path / "train.log").is_file()
    return link(f"{job.number}/train.log", f"{job.number}/train.log") if there else None


def best(job: Job) -> str:
    """The best value so far, and its step."""
    value = finite(job.best.get("value"))
    return "" if value is None else f"{value:.4g}"


def _what(story: Story, job: Job) -> str:
    names = story.names
    return " ".join(f"{names.get(key, key)}={brief(value)}" for key, value in pairs(job.overrides))


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


def _version(name: str) -> Callable[[Job], Any]:
    return lambda job: child(job.summary, "versions").get(name)


_SAME: tuple[tuple[str, Callable[[Job], Any]], ...] = (
    ("data", _data),
    ("device", lambda job: job.summary.get("device")),
    ("precision", lambda job: job.summary.get("precision")),
    ("steps", lambda job: job.summary.get("step")),
    *((f"{_OF}{name}", _version(name)) for name in ("ebm-exp", "torch", "python", "hydra-core", "omegaconf")),
    ("commit", lambda job: child(job.summary, "code").get("commit")),
    ("uncommitted code", lambda job: child(job.summary, "code").get("diff")),
)
