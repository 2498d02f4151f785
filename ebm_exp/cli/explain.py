"""Hydra's refusals in the style of ours, and what a config may hold where they happened."""

import re
from collections.abc import Sequence
from typing import Any

from ebm_exp.cli.line import config_dirs, value_of
from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.keys import GROUPS
from ebm_exp.config.run_config import resolver_at
from ebm_exp.config.trust import CONF
from ebm_exp.shell import quoted

_NO_CHOICE = re.compile(r"null|true|false|[+-]?(inf|nan|[\d._]+(e[+-]?\d+)?)|[{\[].*", re.IGNORECASE)
_LIST = re.compile(r"\[([^\[\]]+)\]")
_EXTRAS = {  # what brings the launchers that are not Hydra's own
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
}


def with_defaults(error: Exception, arguments: list[str], config_name: str) -> list[str] | None:
    """The arguments again if Hydra refused a key that a YAML leaves to its constructor's default; else None."""
    unknown = re.search(r"Could not override '([\w.]+)\.(\w+)'", str(error))
    if unknown is None or unknown[2] not in known_keys(unknown[1], arguments, config_name):
        return None
    key = f"{unknown[1]}.{unknown[2]}="
    return ["++" + a if a.startswith(key) else a for a in arguments]


def refuse_no_choices(arguments: Sequence[str]) -> None:
    """What can name no choice of a group, ``logger=null`` or ``sampler=3``: Hydra ends in a traceback.

    Raises:
        UserError: naming the group and its choices.
    """
    for argument in arguments:
        key, _, values = argument.lstrip("+~").partition("=")
        group = key.split("@")[0]
        if group in ("evaluator", "regularization") and (listed := _LIST.fullmatch(values)):  # several, as they merge
            values = listed[1]
        for value in values.split(",") if group in GROUPS or group.startswith("hydra/") else ():
            if _NO_CHOICE.fullmatch(value.strip()):
                choices = [
                    file.relative_to(CONF / group).with_suffix("").as_posix() for file in (CONF / group).rglob("*.yaml")
                ]
                raise UserError(f"{key}: {value.strip()} is no choice; {nearest(value.strip(), choices)}")


def explain(error: Exception, arguments: list[str], config_name: str) -> list[str]:
    """Hydra's and OmegaConf's errors in the style of ours: the key, then what is allowed."""
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, MissingConfigException) and error.missing_cfg_file in _EXTRAS:
        launcher, extra = error.missing_cfg_file.rpartition("/")[2], _EXTRAS[error.missing_cfg_file]
        return [f"hydra/launcher: {launcher} is not installed; pip install '.[{extra}]' where this project is"]
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return [f"{group or 'config'}: there is no {name!r}; {nearest(name, error.options)}"]
    if isinstance(error, OverrideParseException):
        key, _, value = str(error.override).partition("=")
        return [
            f"{error.override}: cannot be parsed as an override ({error.message.splitlines()[0]})",
            f"If the value is a text, quote it twice, for the shell and for Hydra: '{key}=\"{value}\"'",
        ]
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    ambiguous = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", lines[0])
    if ambiguous:
        key, value = ambiguous.groups()
        return [
            f"{key}={value}: is several values; to sweep over them add -m",
            f"For a list write {key}=[{value}], for a text \"{key}='{value}'\"",
        ]
    unknown = re.search(r"Could not (?:override|append|delete)[^']*'\+?([^'=]+)", str(error))
    if unknown:
        key, experiment = unknown.group(1), value_of("experiment", arguments)
        if "@" in key and experiment is not None and not any(key in argument for argument in arguments):
            return [
                f"{key}: experiment={experiment} chooses it, inside of a choice that this command replaces",
                "Keep that choice, and change its keys one by one; or take what you want of the experiment without it",
            ]
        parent, _, name = key.rpartition(".")
        return [f"{key}: unknown key; {nearest(name, known_keys(parent, arguments, config_name))}"]
    full_key = re.search(r"full_key: (\S+)", str(error))
    missing = re.search(r"Missing mandatory value: (\S+)", str(error))
    if missing:
        key = (full_key or missing).group(1)
        run = value_of("resume", arguments) or value_of("run", arguments)
        where = resolver_at(run, key) if run is not None else None
        if where is not None:
            return [
                f"{where}: the run's config calls a resolver here; give a value, or trust=true if you trust the run"
            ]
        return [f"{key}: is required"]
    return [f"{full_key.group(1)}: {lines[0]}" if full_key else lines[0]]


def known_keys(parent: str, arguments: list[str], config_name: str) -> list[str]:
    """What may stand below a key: what its YAML has, and what the class that it names takes."""
    from ebm_exp.config import signature, validate

    node = node_at(parent, arguments, config_name)
    keys = [key for key in node if not key.startswith("_")]
    target = value_of(f"{parent}._target_", arguments) or node.get("_target_")
    if target is not None:
        takes = signature.settable(validate.locate(parent, target))
        keys = [key for key in keys if key in takes] + sorted(takes - set(keys))
    return keys


def node_at(path: str, arguments: list[str], config_name: str) -> dict[str, Any]:
    """A node of the config by the choices on the command line, without its values; empty where there is none."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    stored = "resumed_run.yaml" if config_name == "train" else "saved_run.yaml"
    primary = stored if stored in ConfigStore.instance().repo else config_name
    choices = [a for a in arguments if re.split("[@=]", a.lstrip("+"))[0] in GROUPS and ("," not in a or "=[" in a)]
    choices += [f"hydra.searchpath=[{quoted('file://' + str(folder))}]" for folder in config_dirs(arguments)]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            node: Any = OmegaConf.to_container(compose(primary.removesuffix(".yaml"), overrides=choices))
    except HydraException:
        return {}
    for part in filter(None, path.split(".")):
        node = node.get(part) if isinstance(node, dict) else None
    return {str(key): value for key, value in node.items()} if isinstance(node, dict) else {}
