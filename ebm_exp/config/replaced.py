"""What a command replaces leaves keys behind, which its successor does not have: they are deleted."""

import re
from typing import Any

from ebm_exp.config.arguments import value_of
from ebm_exp.config.explain import node_at
from ebm_exp.config.saved import GROUPS
from ebm_exp.config.trust import CONF


def of_targets(arguments: list[str], config_name: str) -> list[str]:
    """Overrides that delete what a typed ``_target_`` does not take: the keys of the class whose node it takes over."""
    dropped = []
    for argument in arguments:
        own = re.fullmatch(r"\+*([\w.]+)\._target_=([\w.]+)", argument)
        if own is None:
            continue
        path, target = own.groups()
        node = node_at(path, arguments, config_name)
        dropped += [f"~{path}.{key}" for key in _foreign(path, target, set(node), arguments)]
    return dropped


def of_choices(arguments: list[str], config_name: str) -> tuple[list[str], list[str]]:
    """Overrides that delete what an experiment says of a group whose choice was typed beside it, and a line on each.

    An experiment's keys stand on top of the choice, whichever it is: ``experiment=… optimizer=adam`` would otherwise
    be refused for keys of the experiment's own optimizer.
    """
    experiment = value_of("experiment", arguments)
    if experiment is None or "," in experiment:
        return [], []
    overrides, lines = [], []
    for argument in arguments:
        group, _, choice = argument.lstrip("+").partition("=")
        if group not in GROUPS or group == "experiment" or "," in choice:
            continue
        node = node_at(group, arguments, config_name)
        of_file = _keys(group, choice)
        beside = {key: value for key, value in node.items() if key not in of_file}
        if "_target_" in node:
            gone = _foreign(group, node["_target_"], set(beside), arguments) if beside else []
        else:  # a group of several: what remains of one that is not there
            gone = sorted(key for key, value in beside.items() if isinstance(value, dict) and "_target_" not in value)
        for key in gone:
            # Hydra deletes no null.
            overrides += [f"++{group}.{key}=0"] * (node[key] is None) + [f"~{group}.{key}"]
            lines.append(f"{group}.{key}: left out; experiment={experiment} sets it, {argument} has no such key")
    return overrides, lines


def _keys(group: str, choice: str) -> set[str]:
    import yaml

    file = CONF / group / f"{choice}.yaml"
    content: Any = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    return set(content) if isinstance(content, dict) else set()


def _foreign(path: str, target: str, keys: set[str], arguments: list[str]) -> list[str]:
    """Those of the keys that a class does not take, and nobody typed."""
    from ebm_exp.config import validate

    parameters = validate.arguments(validate.locate(path, target))
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    typed = {argument.lstrip("+~").split("=")[0] for argument in arguments}
    return [
        key
        for key in sorted(keys - set(parameters) - validate.OWN - validate.SUGGESTED)
        if f"{path}.{key}" not in typed
    ]
