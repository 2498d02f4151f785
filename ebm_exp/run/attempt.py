"""What a run is trained with, and what it was trained with before: a run may go on with other values.

Its user may say so when it is resumed, or, for what changes the mathematics, in another attempt; after a divergence a
guard does. The config in the run directory is the one in force; what changed, from which step and why stands in
summary.json under ``attempts``. ``.hydra/overrides.yaml`` stays what was typed when the run began.
"""

import copy
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import yaml

from ebm_exp.config import plain
from ebm_exp.config.keys import kind_of, may_change_on_resume, may_change_with_attempt
from ebm_exp.config.override import Override
from ebm_exp.config.tree import leaves, look_up, set_at
from ebm_exp.files import replace_text
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import value_text

ASKED = "asked for"  # why, where a user said so; else the symptom that a guard has found
log = logging.getLogger(__name__)


class Change(NamedTuple):
    """A run went on with other values.

    Attributes:
        attempt: its number; 0: the first.
        step: from here on.
        why: ``asked for``, or a guard's symptom.
        before: values by key.
        now: values by key.
    """

    attempt: int
    step: int
    why: str
    before: dict[str, Any]
    now: dict[str, Any]

    def __str__(self) -> str:
        """``from step 1,000: trainer.max_steps 3000 → 1000 (asked for)``."""
        said = (f"{key} {value_text(self.before[key])} → {value_text(value)}" for key, value in self.now.items())
        return f"from step {self.step:,}: {', '.join(said) or 'as before'} ({self.why})"


def changes(summary: Mapping[str, Any]) -> list[Change]:
    """How a run went on otherwise, in the order of time; what is not of that kind is no change."""
    attempts, found = summary.get("attempts"), []
    for entry in attempts if isinstance(attempts, list) else ():
        try:
            pairs = {str(key): (before, now) for key, (before, now) in entry["changed"].items()}
            before, now = ({key: pair[i] for key, pair in pairs.items()} for i in (0, 1))
            found.append(Change(int(entry["attempt"]), int(entry["step"]), str(entry["why"]), before, now))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
            continue
    return found


def asked(went_on: Iterable[Change]) -> dict[str, tuple[Any, Any]]:
    """What a user has changed on the way, by key: the value that the run began with, and the newest."""
    found: dict[str, tuple[Any, Any]] = {}
    for change in (each for each in went_on if each.why == ASKED):
        for key, now in change.now.items():
            found[key] = (found[key][0] if key in found else change.before[key], now)
    return found


def typed_in_force(typed: Iterable[str], went_on: Iterable[Change]) -> list[str]:
    """The overrides that a run began with, with what its user has changed on the way in their place."""
    now = {key: f"{key}={value_text(value)}" for key, (_, value) in asked(went_on).items()}
    words = [now.pop(Override.read(each).key, each) for each in typed]
    return [*words, *now.values()]


def begin(directory: RunDirectory, values: Mapping[str, Any], step: int, why: str) -> int:
    """Begin another attempt: a run's config changes for what follows a step, checkpoints after that step are left out.

    Args:
        directory: the run's.
        values: new ones by key; ``attempt`` counts by itself.
        step: the run goes on from there.
        why: for the record.

    Returns:
        The number of the attempt, from 1.
    """
    for later in (each for each in directory.checkpoint_steps() if each > step):
        directory.checkpoint(later).unlink()
    saved = _saved(directory)
    number = int(saved.get("attempt") or 0) + 1
    before = {key: look_up(saved, key) for key in values}
    _note(directory, Change(number, step, why, before, dict(values)))
    _put(directory, dict(values) | {"attempt": number})
    return number


def take_in(directory: RunDirectory, config: Mapping[str, Any], read: Mapping[str, Any], step: int) -> None:
    """Put in force what a user has changed in a run that goes on, and note it; begin the attempt that was asked for.

    Args:
        directory: the run's.
        config: resolved and cast, that the run goes on with.
        read: the run's as it was read, without its side effects; empty for a job of a sweep, whose command names none.
        step: the run goes on from there.
    """
    saved = _saved(directory)
    is_next = config.get("attempt", 0) > int(saved.get("attempt") or 0)

    def may_change(key: str) -> bool:
        of_its_own = may_change_on_resume(key) and kind_of(key) != "command"  # that is no value of the run
        return of_its_own or (is_next and may_change_with_attempt(key))

    before, as_read, wanted = (dict(leaves(each)) for each in (saved, read, config))
    if isinstance(length := wanted.get("trainer.max_steps"), int):
        wanted["trainer.max_steps"] = max(length, step)  # it has so many already
    now = {
        key: value
        for key, value in wanted.items()
        if may_change(key) and before.get(key) not in (value, plain.MISSING) and as_read.get(key, ...) != value
    }
    if is_next:
        begin(directory, now, step, ASKED)
    elif now:
        _note(directory, Change(config.get("attempt", 0), step, ASKED, {k: before.get(k) for k in now}, now))
        _put(directory, now)


def write_cast(directory: RunDirectory, config: Mapping[str, Any]) -> None:
    """Let the config of a run that begins say what it is trained with, where that was typed as something that looks
    alike: 1 for ``seed=1.0``.

    Args:
        directory: the run's.
        config: resolved and cast.
    """
    try:
        typed = dict(leaves(plain.resolve(plain.read(directory.path / ".hydra" / "config.yaml"))))
    except (OSError, plain.PlainError):  # none, as in a notebook, or what only its user can read
        return
    _put(directory, {key: value for key, value in leaves(config) if key in typed and _looks_alike(typed[key], value)})


def in_force(directory: RunDirectory, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run with what its attempts so far have changed, unless it says so itself.

    The record may come from anywhere: of it count only numbers, at keys that an attempt may change.
    """
    changed: dict[str, Any] = {}
    for change in changes(directory.summary()):
        if change.attempt > config.get("attempt", 0):
            changed |= {k: v for k, v in change.now.items() if may_change_with_attempt(k) and _holds_numbers(v)}
            changed["attempt"] = change.attempt
    result = copy.deepcopy(dict(config))
    for key, value in changed.items():
        set_at(result, key, value)
    return result


def _saved(directory: RunDirectory) -> dict[str, Any]:
    return plain.resolve(plain.read(directory.path / ".hydra" / "config.yaml"))


def _put(directory: RunDirectory, values: Mapping[str, Any]) -> None:
    """Replace values in the config of a run, and them alone: what refers to one of them stays what it led to."""
    if not values:
        return
    file = directory.path / ".hydra" / "config.yaml"
    config = plain.read(file)
    before = dict(leaves(plain.resolve(config)))
    for key, value in values.items():
        set_at(config, key, value)
    for key, value in leaves(plain.resolve(config)):
        if key in before and key not in values and value != before[key]:
            set_at(config, key, before[key])
    replace_text(file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def _note(directory: RunDirectory, change: Change) -> None:
    """Add a change to the record of a run, before it stands in the config: a kill on the way loses nothing.

    What was noted before such a kill is noted once.
    """
    summary = directory.summary()
    changed = {key: [change.before[key], value] for key, value in change.now.items()}
    entry = {"attempt": change.attempt, "step": change.step, "why": change.why, "changed": changed}
    is_next = change.attempt > int(_saved(directory).get("attempt") or 0)
    known = summary.get("attempts")
    earlier = [
        each
        for each in (known if isinstance(known, list) else ())
        if isinstance(each, dict) and each != entry and not (is_next and each.get("attempt") == change.attempt)
    ]
    directory.write_summary(summary | {"attempts": [*earlier, entry]})
    log.info(str(change))


def _looks_alike(typed: Any, cast: Any) -> bool:
    """Whether a value was cast to another: 1.0 to 1, "1" to 1, 1 to true. Of numbers, 1 for 1.0 is the same."""
    if isinstance(typed, list) and isinstance(cast, list):
        return any(_looks_alike(*each) for each in zip(typed, cast, strict=True))
    return type(typed) is not type(cast) and not (type(typed) is int and type(cast) is float)


def _holds_numbers(value: Any) -> bool:
    """Whether it is a number, or a list of some."""
    return all(isinstance(each, int | float) for each in (value if isinstance(value, list) else [value]))
