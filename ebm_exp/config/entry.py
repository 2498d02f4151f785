"""The command line: run an entry point under Hydra, with errors a user can read."""

import contextlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebm_exp.config import process
from ebm_exp.config.arguments import (
    claim_stamp,
    config_dirs,
    quote_home,
    quoted,
    refuse_empty_paths,
    refuse_used_directory,
    value_of,
)
from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.saved import GROUPS, LOOKING, resumed, sampled
from ebm_exp.config.trust import CONF, resolver_at


@dataclass(frozen=True)
class Launch:
    """What Hydra knows and a run needs: where to write, and the sweep it belongs to (the W&B group)."""

    run_dir: Path
    group: str | None


def run_entry_point(main: Callable[[dict[str, Any], Launch], Any], config_name: str) -> None:
    """Compose the config, check it, call ``main(config, launch)``; the exit code is 2 for a user's error, 1 for a bug.

    Args:
        main: gets the resolved, validated config as a plain dict.
        config_name: ``train`` or ``sample``.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions reach us: Hydra's own report is a page long
    from hydra import main as hydra_main
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    looking = bool(LOOKING & {a.split("=")[0] for a in sys.argv[1:]})
    process.begin(looking)
    arguments = quote_home(sys.argv[1:])

    def tell(error: Exception) -> None:
        """End with what a user's error says; any other is left to who raised it."""
        if isinstance(error, UserError):
            _exit(str(error).splitlines())
        if isinstance(error, HydraException | OmegaConfBaseException):
            _exit(_explain(error, arguments, config_name))

    try:
        if {"-sc", "--shell-completion"} & set(arguments):
            from ebm_exp.config.completion import answer

            if answer(arguments, config_name, lambda typed: _composed(typed, config_name)):
                return
        refuse_empty_paths(arguments)
        if not looking:
            directory = "hydra.run.dir" if config_name == "train" else "output_dir"
            refuse_used_directory(arguments, directory)
            if not {directory, "hydra.sweep.dir", "resume"} & {a.split("=")[0] for a in arguments}:
                os.environ["EBM_RUN_STAMP"] = claim_stamp()
        primary = (resumed if config_name == "train" else sampled)(arguments)
        arguments += _dropped_defaults(arguments, config_name)
        while True:
            sys.argv[1:] = arguments
            try:
                hydra_main(version_base="1.3", config_path=str(CONF), config_name=primary)(_wrap(main, tell))()
                return process.end(looking)
            except HydraException as error:
                added = _with_defaults(error, arguments, config_name)
                if added is None:
                    raise
                arguments = added
    except Exception as error:
        tell(error)
        raise


def _exit(lines: list[str]) -> None:
    print("\n".join(lines[:3]), file=sys.stderr)
    sys.exit(2)


def _wrap(main: Callable[[dict[str, Any], Launch], Any], tell: Callable[[Exception], None]) -> Callable[[Any], Any]:
    def job(composed: Any) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        hydra = HydraConfig.get()
        logging.captureWarnings(True)  # into train.log
        logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its font cache
        multirun = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
        launch = Launch(Path(hydra.runtime.output_dir), str(hydra.sweep.dir) if multirun else None)
        try:
            config: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
            from ebm_exp.config.validate import validate

            validate(config)
            return main(config, launch)
        except Exception as error:
            if multirun:  # Hydra shows one error of a sweep, at its very end: say each when it happens
                where = f"job {hydra.job.num} ({' '.join(hydra.overrides.task)})"
                logging.getLogger("ebm_exp").error("%s failed: %s", where, error)
            if isinstance(error, UserError) or type(error).__module__.startswith("omegaconf"):
                _discard(launch.run_dir)
            if not multirun:
                tell(error)  # here, before Hydra writes a line of its own above it
            raise

    return job


def _discard(run_dir: Path) -> None:
    """Remove a run directory in which nothing was started but what Hydra wrote on the way."""
    if run_dir.is_dir() and {p.name for p in run_dir.iterdir()} <= {".hydra", "train.log", "sample.log"}:
        shutil.rmtree(run_dir)


def _dropped_defaults(arguments: list[str], config_name: str) -> list[str]:
    """Overrides that delete what a typed ``_target_`` does not take: the keys of the class whose node it takes over."""
    dropped = []
    typed = {argument.lstrip("+~").split("=")[0] for argument in arguments}
    for argument in arguments:
        own = re.fullmatch(r"\+*([\w.]+)\._target_=([\w.]+)", argument)
        if own is None:
            continue
        from ebm_exp.config import validate

        path, target = own.groups()
        parameters = validate.arguments(validate.locate(path, target))
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        keys = set(_node(path, arguments, config_name)) - set(parameters) - validate.OWN - validate.SUGGESTED
        dropped += [f"~{path}.{key}" for key in sorted(keys) if f"{path}.{key}" not in typed]
    return dropped


def _with_defaults(error: Exception, arguments: list[str], config_name: str) -> list[str] | None:
    """The arguments again if Hydra refused a key that a YAML leaves to its constructor's default; else None."""
    unknown = re.search(r"Could not override '([\w.]+)\.(\w+)'", str(error))
    if unknown is None or unknown[2] not in _known_keys(unknown[1], arguments, config_name):
        return None
    key = f"{unknown[1]}.{unknown[2]}="
    return ["++" + a if a.startswith(key) else a for a in arguments]


def _explain(error: Exception, arguments: list[str], config_name: str) -> list[str]:
    """Hydra's and OmegaConf's errors in the style of ours: the key, then what is allowed."""
    from hydra.errors import MissingConfigException, OverrideParseException

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
        key = unknown.group(1)
        parent, _, name = key.rpartition(".")
        return [f"{key}: unknown key; {nearest(name, _known_keys(parent, arguments, config_name))}"]
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


def _known_keys(parent: str, arguments: list[str], config_name: str) -> list[str]:
    """What may stand below a key: what its YAML has, and what the class that it names takes."""
    from ebm_exp.config import validate

    node = _node(parent, arguments, config_name)
    keys = [key for key in node if not key.startswith("_")]
    target = value_of(f"{parent}._target_", arguments) or node.get("_target_")
    if target is not None:
        takes = validate.settable(validate.locate(parent, target))
        keys = [key for key in keys if key in takes] + sorted(takes - set(keys))
    return keys


def _composed(typed: list[str], config_name: str) -> dict[str, Any]:
    """The config by a command line that is not finished, for completion."""
    with contextlib.suppress(UserError):
        (resumed if config_name == "train" else sampled)(typed := [*typed])
    return _node("", typed, config_name)


def _node(path: str, arguments: list[str], config_name: str) -> dict[str, Any]:
    """A node of the config by the choices on the command line, without its values; empty where there is none."""
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    stored = {"train": "resumed_run.yaml", "sample": "saved_run.yaml"}[config_name]
    primary = stored if stored in ConfigStore.instance().repo else config_name
    choices = [a for a in arguments if re.split("[@=]", a.lstrip("+"))[0] in GROUPS and "," not in a]
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
