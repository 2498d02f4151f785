"""What a sweep is made of: every job composed before the first begins, in a directory that is found again."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override, RangeSweep

from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import is_data, tells_jobs_apart
from ebm_exp.config.override import Override as Typed
from ebm_exp.config.override import key_of
from ebm_exp.config.run_config import refuse_links
from ebm_exp.config.tree import leaves
from ebm_exp.config.trust import ANY
from ebm_exp.shell import quoted
from ebm_exp.sweep.directory import SweepDirectory

MOST = 100_000  # jobs of a grid


class Planned(NamedTuple):
    """A job of a sweep.

    Attributes:
        number: names its folder.
        overrides: what the sweep sets in it.
        arguments: all its overrides.
        config: resolved.
    """

    number: int
    overrides: tuple[str, ...]
    arguments: tuple[str, ...]
    config: dict[str, Any]


def grid(overrides: Sequence[Override]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Every combination of the values that vary, in the order typed: what the sweep sets, and all overrides.

    Raises:
        UserError: for a range of numbers without steps, for no value, and for more jobs than can be planned.
    """
    n = 1
    combinations: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), ())]
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            combinations = [(varied, (*every, override.input_line or "")) for varied, every in combinations]
            continue
        if not override.is_discrete_sweep():
            raise UserError(f"{key}: an interval needs a search (hydra/sweeper=search); a grid takes values: {key}=1,2")
        values = values_of(override)
        n *= len(values)
        if n > MOST:
            raise UserError(f"{key}: makes {n:,} jobs of this sweep, at most {MOST:,} can be planned")
        combinations = [
            ((*varied, f"{key}={value}"), (*every, f"{key}={value}"))
            for varied, every in combinations
            for value in values
        ]
    yield from combinations


def values_of(override: Override) -> list[str]:
    """What a sweep chooses from, each value once, as text.

    Raises:
        UserError: where there is none, or no end of them.
    """
    value, typed = override.value(), override.input_line or override.get_key_element()
    if isinstance(value, RangeSweep):
        n = _length(value)
        if n == 0:
            raise UserError(f"{typed}: is empty; range(1,4) is 1, 2 and 3, and range(3,0,-1) is 3, 2 and 1")
        if n == math.inf:
            raise UserError(f"{typed}: has a step of 0, and no end")
        if n > MOST:
            raise UserError(f"{typed}: is {n:,.0f} values, at most {MOST:,} can be planned")
    values = list(dict.fromkeys(override.sweep_string_iterator()))
    if not values:
        raise UserError(f"{typed}: matches nothing")
    return values


def _length(numbers: RangeSweep) -> float:
    """How many there are, to within rounding."""
    start, stop, step = (float(each) for each in (numbers.start or 0, numbers.stop or 0, numbers.step))
    if step == 0:
        return math.inf
    return max(0.0, (stop - start) / step)


def keys_of(overrides: Iterable[Override]) -> list[str]:
    """The keys that vary."""
    return list(dict.fromkeys(key_of(o.input_line or "") for o in overrides if o.is_sweep_override()))


def telling(arguments: Iterable[str]) -> list[str]:
    """Those of the overrides that tell a sweep from another; of places those that the sweep itself varies."""
    read = [(argument, Typed.read(argument)) for argument in arguments]
    return [word for word, typed in read if tells_jobs_apart(typed.key) or len(typed.values) > 1]


def identity(arguments: Iterable[str]) -> list[str]:
    """What tells a sweep's command from another."""
    return sorted(telling(arguments))


def is_same(record: Mapping[str, Any], arguments: Iterable[str]) -> bool:
    """Whether a sweep on disk is that of a command.

    An older record holds more: paths, and deletions beside an experiment that nobody had typed.
    """
    command = record.get("command") or []
    deleted = {key_of(each) for each in record.get("overrides", []) if each.startswith("~") and each not in command}
    theirs = [
        each
        for each in record.get("overrides", [])
        if each in command or key_of(each) not in deleted or not each.startswith(("~", "++"))
    ]
    return bool(record) and identity(theirs) == identity(arguments)


def moved(record: Mapping[str, Any], arguments: Iterable[str]) -> list[str]:
    """A line on each place of data that a command names otherwise than the one that began the sweep."""
    before = {typed.key: typed.text for typed in map(Typed.read, record.get("arguments", []))}
    now = {typed.key: typed.text for typed in map(Typed.read, arguments)}
    places = [key for key in sorted({*before, *now}) if is_data(key) and before.get(key) != now.get(key)]
    return [f"{key}: was {before.get(key, 'not given')}, the data are the same" for key in places]


def _has_same_data(sweep: SweepDirectory, arguments: Iterable[str], config: Mapping[str, Any]) -> bool:
    """Whether the jobs of a sweep were trained on the data of a command; asked of the data where these have moved."""
    trained = {job.summary["data"]["fingerprint"] for job in sweep.jobs() if "data" in job.summary}
    if not trained or not moved(sweep.record(), arguments):
        return True
    from ebm_exp.config.build import Parts  # late: it imports torch

    return Parts(config, allowed=ANY)["dataset"].facts()["fingerprint"] in trained


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What makes two configs of a job different runs, ``energy.width 32 → 16``; places, logger and device do not."""
    old, new = (
        {key: list(value) if isinstance(value, tuple) else value for key, value in leaves(config) if value != {}}
        for config in (before, now)
    )
    return [
        f"{key} {old.get(key, 'nothing')} → {new.get(key, 'nothing')}"
        for key in new | old
        if tells_jobs_apart(key) and old.get(key, ...) != new.get(key, ...)
    ]


def find(
    wanted: Path, arguments: list[str], config: Mapping[str, Any], *, given: bool, new: bool
) -> tuple[SweepDirectory, bool]:
    """The directory of a sweep, and whether it is there already.

    Args:
        wanted: where a new one would lie.
        arguments: the command's.
        config: of one of its jobs.
        given: the directory was typed: it is that one or none.
        new: ``sweep=new``.

    Raises:
        UserError: when the directory that was typed holds something else.
    """
    if given:
        sweep = SweepDirectory(wanted)
        _refuse_links(sweep, config)
        record = sweep.record()
        if not record:
            others = {path.name for path in wanted.iterdir()} - {".locks"} if wanted.is_dir() else set()
            if others:
                what = "a sweep.json that cannot be read" if sweep.file.name in others else "other files"
                raise UserError(f"hydra.sweep.dir: {wanted} holds {what}")
            return sweep, False
        if not is_same(record, arguments):
            theirs = " ".join(record.get("overrides", []))
            raise UserError(f"hydra.sweep.dir: {wanted} holds the sweep of another command ({theirs})")
        if not _has_same_data(sweep, arguments, config):
            raise UserError(f"hydra.sweep.dir: {wanted} holds this sweep over other data")
        if new:
            raise UserError(f"sweep: {wanted} holds this sweep already; give another hydra.sweep.dir, or sweep=auto")
        return sweep, True
    if not new and wanted.parent.is_dir():
        found = [SweepDirectory(path) for path in sorted(wanted.parent.iterdir(), reverse=True)]
        for each in (each for each in found if each.file.exists() and not each.record()):
            print(f"sweep   {each.file} cannot be read and is passed over", flush=True)
        same = [sweep for sweep in found if is_same(sweep.record(), arguments)]
        for sweep in same:
            _refuse_links(sweep, config)
        unfinished = [sweep for sweep in same if not is_complete(sweep)]
        for sweep in (*unfinished, *same):
            if _has_same_data(sweep, arguments, config):
                return sweep, True
    return SweepDirectory(wanted), False


def _refuse_links(sweep: SweepDirectory, config: Mapping[str, Any]) -> None:
    """A sweep that is found may come from anywhere."""
    if not config.get("trust"):
        refuse_links(sweep.path, "sweep", "sweep")


def is_complete(sweep: SweepDirectory) -> bool:
    """Whether nothing is left to run in a sweep but what failed."""
    ended = [job for job in sweep.jobs() if job.state in ("finished", "pruned", "diverged", "failed")]
    record = sweep.record()
    return record["complete"] or len(ended) >= record["n"] * max(1, len(record["seeds"]))


def wishes(config: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether the user wants a new sweep, and failed jobs done anew.

    Raises:
        UserError: for another value.
    """
    sweep, retry = config.get("sweep", "auto"), config.get("retry_failed", False)
    if sweep not in ("auto", "new"):
        raise UserError(f"sweep: must be auto or new, got {sweep!r}")
    if not isinstance(retry, bool):
        raise UserError(f"retry_failed: must be true or false, got {retry!r}")
    return sweep == "new", retry


def place(sweep: SweepDirectory, number: int, worker: str) -> list[str]:
    """The overrides that put a job into its folder, where it writes for itself once it is claimed."""
    return [
        f"hydra.sweep.dir={quoted(str(sweep.path))}",
        f"hydra.sweep.subdir='{number}'",
        "hydra.output_subdir=null",
        "hydra/job_logging=none",
        f"+hydra.job.env_set.EBM_SWEEP_WORKER={quoted(worker)}",
    ]
