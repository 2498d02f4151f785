"""Attempts of one run: after a divergence, or because its user says so, it goes on under changed settings.

The config in the run directory is the one in force; what changed, from which step and why stands in summary.json.
"""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from ebm_exp.config import plain
from ebm_exp.config.keys import may_change_with_attempt
from ebm_exp.config.tree import leaves, set_at
from ebm_exp.files import replace_text
from ebm_exp.run.directory import RunDirectory


def begin(directory: RunDirectory, changes: Mapping[str, Any], step: int, why: str) -> int:
    """Change a run's config for what follows a step, and leave out the checkpoints after that step.

    Args:
        directory: the run's.
        changes: new values by key; ``attempt`` counts by itself.
        step: the run goes on from there.
        why: for the record.

    Returns:
        The number of the attempt, from 1.
    """
    for later in (each for each in directory.checkpoint_steps() if each > step):
        directory.checkpoint(later).unlink()
    file = directory.path / ".hydra" / "config.yaml"
    config = plain.read(file)
    before = dict(leaves(plain.resolve(config)))
    number = int(config.get("attempt") or 0) + 1
    for key, value in (dict(changes) | {"attempt": number}).items():
        set_at(config, key, value)
    summary = directory.summary()
    changed = {key: [before.get(key), value] for key, value in changes.items()}
    entry = {"attempt": number, "step": step, "why": why, "changed": changed}
    # First, for what is said here is in force where the config does not say it yet: a kill on the way loses nothing.
    earlier = [each for each in summary.get("attempts", []) if each["attempt"] < number]
    directory.write_summary(summary | {"attempts": [*earlier, entry]})
    replace_text(file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return number


def in_force(directory: RunDirectory, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run with what its attempts so far have changed, unless it says so itself.

    The record may come from anywhere: of it count only numbers, at keys that an attempt may change.
    """
    changed: dict[str, Any] = {}
    for entry in directory.summary().get("attempts", []):
        if entry["attempt"] > config.get("attempt", 0):
            for key, (_, now) in entry["changed"].items():
                if may_change_with_attempt(key) and _holds_numbers(now):
                    changed[key] = now
            changed["attempt"] = entry["attempt"]
    result = copy.deepcopy(dict(config))
    for key, value in changed.items():
        set_at(result, key, value)
    return result


def begin_if_asked(directory: RunDirectory, config: Mapping[str, Any], step: int) -> None:
    """Begin the attempt that a user asked for, ``attempt=next``, if this is one.

    Args:
        directory: the run's.
        config: resolved, that the user asked for.
        step: the run goes on from there.
    """
    saved = plain.resolve(plain.read(directory.path / ".hydra" / "config.yaml"))
    if config.get("attempt", 0) <= int(saved.get("attempt") or 0):
        return
    before = dict(leaves(saved))
    now = {key: value for key, value in leaves(config) if may_change_with_attempt(key)}
    begin(directory, {key: value for key, value in now.items() if before.get(key) != value}, step, "asked for")


def _holds_numbers(value: Any) -> bool:
    """Whether it is a number, or a list of some."""
    return all(isinstance(each, int | float) for each in (value if isinstance(value, list) else [value]))
