"""What a command replaces leaves keys behind, which its successor does not have: they are deleted."""

import re

from ebm_exp.cli.explain import node_at
from ebm_exp.cli.line import value_of
from ebm_exp.config.keys import GROUPS


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
    choices = [a for a in arguments if _group(a) in GROUPS and "," not in a and _group(a) != "experiment"]
    if not choices:
        return [], []
    whole = node_at("", arguments, config_name)
    alone = node_at("", [a for a in arguments if _group(a) != "experiment"], config_name)
    overrides, lines = [], []
    for argument in choices:
        group = _group(argument)
        node, own = whole.get(group) or {}, alone.get(group) or {}
        beside = {key: value for key, value in node.items() if key not in own}
        if "_target_" in node:
            gone = _foreign(group, node["_target_"], set(beside), arguments) if beside else []
        else:  # a group of several: what remains of one that is not there
            gone = sorted(key for key, value in beside.items() if isinstance(value, dict) and "_target_" not in value)
        for key in gone:
            # Hydra deletes no null.
            overrides += [f"++{group}.{key}=0"] * (node[key] is None) + [f"~{group}.{key}"]
            lines.append(f"{group}.{key}: left out; experiment={experiment} sets it, {argument} has no such key")
    return overrides, lines


def _group(argument: str) -> str:
    return argument.lstrip("+").split("=")[0]


def _foreign(path: str, target: str, keys: set[str], arguments: list[str]) -> list[str]:
    """Those of the keys that a class does not take, and nobody typed."""
    from ebm_exp.config import signature, validate

    parameters = signature.arguments(validate.locate(path, target))
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    typed = {argument.lstrip("+~").split("=")[0] for argument in arguments}
    return [
        key
        for key in sorted(keys - set(parameters) - validate.OWN - validate.SUGGESTED)
        if f"{path}.{key}" not in typed
    ]
