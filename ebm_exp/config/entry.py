"""The command line: run an entry point under Hydra, with errors a user can read.

``train.py resume=<run>`` and ``sample.py run=<run>`` start from a config that lies in a run directory, so the
arguments are looked at before Hydra composes anything, and the saved config is handed to it as the primary one.
"""

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.trust import CONF, read_run_config

GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir())
_LOOKING = {"--help", "-h", "--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc"}
# What may change when a run goes on: nothing that changes the mathematics.
RESUMABLE = re.compile(r"trainer\.(max_steps|max_minutes|\w+_every_steps)|logger\.\w+|device|trust|hydra\..+")


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

    arguments = sys.argv[1:]
    try:
        primary = (_resume if config_name == "train" else _sample)(arguments)
        arguments += _dropped_defaults(arguments, config_name)
        sys.argv[1:] = arguments
        hydra_main(version_base="1.3", config_path=str(CONF), config_name=primary)(_wrap(main))()
    except UserError as error:
        _exit(str(error).splitlines())
    except (HydraException, OmegaConfBaseException) as error:
        _exit(_explain(error, arguments, config_name))


def _exit(lines: list[str]) -> None:
    print("\n".join(lines[:3]), file=sys.stderr)
    sys.exit(2)


def _wrap(main: Callable[[dict[str, Any], Launch], Any]) -> Callable[[Any], Any]:
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
            raise

    return job


def _discard(run_dir: Path) -> None:
    """Remove a run directory in which nothing was started but what Hydra wrote on the way."""
    if run_dir.is_dir() and {p.name for p in run_dir.iterdir()} <= {".hydra", "train.log", "sample.log"}:
        shutil.rmtree(run_dir)


def _value_of(key: str, arguments: list[str]) -> str | None:
    values = [a.split("=", 1)[1].strip("'\"") for a in arguments if a.startswith(key + "=")]
    return values[-1] if values and values[-1] not in ("", "null") else None


def _trusted(arguments: list[str]) -> bool:
    return _value_of("trust", arguments) in ("true", "True")


def _resume(arguments: list[str]) -> str:
    """Make the saved config of ``resume=<run>`` the primary one, and keep Hydra from writing over the run."""
    run = _value_of("resume", arguments)
    if run is None:
        return "train"
    if {"-m", "--multirun"} & set(arguments):
        raise UserError("resume: goes on with one run, it cannot be combined with -m")
    saved = _resolved(read_run_config(run, _trusted(arguments), key="resume"))
    for argument in arguments:
        key, _, asked = argument.lstrip("+~").partition("=")
        if not argument.startswith("-") and key != "resume" and not RESUMABLE.fullmatch(key):
            here = _look_up(saved, key)
            raise UserError(
                f"{key}: cannot change when a run is resumed (the run has {here!r}, asked for {asked!r}); only "
                "trainer.max_steps, trainer.max_minutes, *_every_steps, logger.* and device may.\n"
                f"Start a new run from its weights instead: init_from={run} {argument}"
            )
    if "hydra" in saved or "defaults" in saved:
        raise UserError(f"resume: {run}/.hydra/config.yaml is not the config of a run (it has a hydra or defaults key)")
    from hydra.core.config_store import ConfigStore

    node = {"defaults": [{"hydra": "train"}, "_self_"], **saved, "resume": None, "trust": False}
    ConfigStore.instance().store(name="resumed_run", node=node)
    arguments += [f"hydra.run.dir='{Path(run).resolve()}'", "hydra.output_subdir=null"]
    return "resumed_run"


def _sample(arguments: list[str]) -> str:
    """Let every group of the saved config of ``run=<run>`` stand as the choice that the command line may replace."""
    _split_runs(arguments)
    run = _value_of("run", arguments)
    if run is None:
        if not _LOOKING & {a.split("=")[0] for a in arguments}:
            raise UserError("run: is required, e.g. run=outputs/digits/2026-11-23_12-00-00")
        return "sample"
    import yaml
    from hydra.core.config_store import ConfigStore

    saved = read_run_config(run, _trusted(arguments))
    saved["dataset"].setdefault("chain", {})["temperature"] = _temperature(
        run, saved
    )  # for samplers that are chosen now
    own = yaml.safe_load((CONF / "sample.yaml").read_text(encoding="utf-8"))
    defaults: list[Any] = [{"mode": "grid"}]
    own.pop("defaults")
    store = ConfigStore.instance()
    for key in [key for key, value in saved.items() if key in GROUPS and isinstance(value, dict)]:
        store.store(group=key, name="saved", node=saved.pop(key))
        defaults.append({key: "saved"})
    defaults += [{"hydra": "sample"}, "_self_"]
    for key in ("resume", "init_from", "defaults", "hydra"):
        saved.pop(key, None)
    node = {"defaults": defaults, **saved, **own, "run_seed": saved.get("seed", 0)}
    store.store(name="saved_run", node=node)
    return "saved_run"


def _split_runs(arguments: list[str]) -> None:
    """``run=[A,B]`` is ``run=A others=[B]``: the first run's config is the one that all else is replaced in."""
    for i, argument in enumerate(arguments):
        listed = re.fullmatch(r"run=\[(.*)\]", argument)
        if listed:
            first, *others = [path.strip().strip("'\"") for path in listed[1].split(",")]
            quoted = ",".join(f"'{path}'" for path in others)
            arguments[i : i + 1] = [f"run='{first}'", f"others=[{quoted}]"]
            return


def _temperature(run: str, saved: dict[str, Any]) -> float:
    """T that a run was trained at."""
    try:
        return float(json.loads((Path(run) / "summary.json").read_text(encoding="utf-8"))["temperature"])
    except (OSError, ValueError, KeyError):  # not begun: what its data set says
        return float(saved["dataset"]["chain"].get("temperature", 1.0))


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
        keys = set(_known_keys(path, arguments, config_name)) - set(parameters) - validate.RESERVED
        dropped += [f"~{path}.{key}" for key in sorted(keys) if f"{path}.{key}" not in typed]
    return dropped


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    container = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _look_up(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node if not isinstance(node, dict) else node.get("_target_", "…")


def _explain(error: Exception, arguments: list[str], config_name: str) -> list[str]:
    """Hydra's and OmegaConf's errors in the style of ours: the key, then what is allowed."""
    from hydra.errors import MissingConfigException, OverrideParseException

    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return [f"{group or 'config'}: there is no {name!r}; {nearest(name, error.options)}"]
    if isinstance(error, OverrideParseException):
        return [f"{error.override}: cannot be parsed as an override ({error.message.splitlines()[0]})"]
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines() if line.strip()]
    unknown = re.search(r"Could not (?:override|append|delete)[^']*'\+?([^'=]+)", str(error))
    if unknown:
        key = unknown.group(1)
        parent, _, name = key.rpartition(".")
        return [f"{key}: unknown key; {nearest(name, _known_keys(parent, arguments, config_name))}"]
    missing = re.search(r"Missing mandatory value: (\S+)", str(error))
    if missing:
        return [f"{missing.group(1)}: is required"]
    full_key = re.search(r"full_key: (\S+)", str(error))
    return [f"{full_key.group(1)}: {lines[0]}" if full_key else lines[0]]


def _known_keys(parent: str, arguments: list[str], config_name: str) -> list[str]:
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    stored = {"train": "resumed_run.yaml", "sample": "saved_run.yaml"}[config_name]
    primary = stored if stored in ConfigStore.instance().repo else config_name
    choices = [a for a in arguments if a.split("=")[0] in GROUPS and "," not in a]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            node: Any = OmegaConf.to_container(compose(primary.removesuffix(".yaml"), overrides=choices))
    except HydraException:
        return []
    for part in filter(None, parent.split(".")):
        node = node.get(part, {}) if isinstance(node, dict) else {}
    return [key for key in node if not key.startswith("_")] if isinstance(node, dict) else []
