"""Hydra's refusals in the style of ours: the key, then what is allowed there."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ebm_exp.config.errors import nearest
from ebm_exp.config.override import Override, value_in
from ebm_exp.config.run_config import resolver_at
from ebm_exp.config.tree import look_up
from ebm_exp.config.unparsed import explain_unparsed

_EXTRAS = {  # what brings the launchers that are not Hydra's own
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
}


def explain(error: Exception, words: Sequence[str], config: Mapping[str, Any] | None = None) -> list[str]:
    """What an error of Hydra or OmegaConf means, in a few lines.

    Args:
        error: as raised.
        words: the overrides.
        config: as far as it was composed, unresolved.
    """
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, MissingConfigException) and error.missing_cfg_file in _EXTRAS:
        launcher, extra = error.missing_cfg_file.rpartition("/")[2], _EXTRAS[error.missing_cfg_file]
        return [f"hydra/launcher: {launcher} is not installed; pip install '.[{extra}]' where this project is"]
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return [f"{group or 'config'}: there is no {name!r}; {nearest(name, error.options)}"]
    if isinstance(error, OverrideParseException):
        return explain_unparsed(Override.read(str(error.override)), f"{error.message}\n{error.__cause__ or ''}")
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    unswept = re.match(r"Sweep parameters? '(.*)' requires --multirun", lines[0])
    if unswept:
        return [f"{unswept[1]}: is several values; to sweep over them add -m"]
    ambiguous = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", lines[0])
    if ambiguous:
        key, value = ambiguous.groups()
        return [
            f"{key}={value}: is several values; to sweep over them add -m",
            f"For a list write {key}=[{value}], for a text \"{key}='{value}'\"",
        ]
    there = re.search(r"Could not append[^']*already at '([^']+)'", str(error))
    if there:
        return [f"{there[1]}: is there already; without the + it is changed, ++ adds it or changes it"]
    unknown = re.search(r"Could not (?:override|append|delete)[^']*'\+?([^'=]+)", str(error))
    if unknown:
        key = unknown.group(1)
        parent, _, name = key.rpartition(".")
        if (
            parent == "hydra.sweeper"
            and value_in(words, "hydra/sweeper") in (None, "grid")
            and not value_in(words, "hparams_search")
        ):
            return [f"{key}: unknown key; a grid has no settings, a search has: hydra/sweeper=search"]
        return [f"{key}: unknown key; {nearest(name, known_keys(parent, words, config or {}))}"]
    full_key = re.search(r"full_key: (\S+)", str(error))
    missing = re.search(r"Missing mandatory value: (\S+)", str(error))
    if missing:
        key = (full_key or missing).group(1)
        run = value_in(words, "resume") or value_in(words, "run")
        where = resolver_at(run, key) if run is not None else None
        if where is not None:
            return [
                f"{where}: the run's config calls a resolver here; give a value, or trust=true if you trust the run"
            ]
        return [f"{key}: is required"]
    return [f"{full_key.group(1)}: {lines[0]}" if full_key else lines[0]]


def known_keys(parent: str, words: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """What may stand below a key: what its YAML has, and what the class that it names takes."""
    from ebm_exp.config import signature, validate

    found = look_up(config, parent)
    node = found if isinstance(found, Mapping) else {}
    keys = [str(key) for key in node if not str(key).startswith("_")]
    target = value_in(words, f"{parent}._target_") or node.get("_target_")
    if target is not None and not parent.startswith("hydra."):  # Hydra's own files name all that they take
        takes = signature.settable(validate.locate(parent, target))
        keys = [key for key in keys if key in takes] + sorted(takes - set(keys))
    return keys
