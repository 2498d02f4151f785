"""Configs that lie in a run directory, as Hydra's primary config: ``train.py resume=<run>``, ``sample.py run=<run>``,
``evaluate.py run=<run>``.

The arguments are looked at before Hydra composes anything.
"""

import copy
import re
from pathlib import Path
from typing import Any

from ebm_exp.cli.line import value_of
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import CHANGEABLE, GROUPS, NESTED, RESUMABLE
from ebm_exp.config.run_config import RunConfig, read_run_config
from ebm_exp.config.trust import CONF
from ebm_exp.shell import override, quoted

LOOKING = {"--help", "-h", "--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc"}


def trusted(arguments: list[str]) -> bool:
    """Whether the command says that the run's config is the user's own."""
    return value_of("trust", arguments) in ("true", "True")


def resumed(arguments: list[str]) -> tuple[str, RunConfig | None]:
    """Make the saved config of ``resume=<run>`` the primary one, and keep Hydra from writing over the run.

    Returns:
        The name of the primary config, and what the run says; None for a new run.
    """
    run = value_of("resume", arguments)
    if run is None:
        if value_of("attempt", arguments) not in (None, "0"):
            raise UserError("attempt: next goes with resume=<run>, a new run has none")
        return "train", None
    if {"-m", "--multirun"} & set(arguments):
        raise UserError("resume: goes on with one run, it cannot be combined with -m")
    found = read_run_config(run, trusted(arguments), "resume", live=("logger",))
    saved = found.values
    anew = _next_attempt(saved, arguments)
    for argument in arguments:
        key, given, asked = argument.lstrip("+~").partition("=")
        is_override = bool(given) or argument.startswith("~")  # not an option of Hydra, or the folder behind it
        if not is_override or argument.startswith("-") or key in ("resume", "attempt") or RESUMABLE.fullmatch(key):
            continue
        if not (anew and CHANGEABLE.fullmatch(key)):
            here = _look_up(saved, key)
            also = "" if anew or not CHANGEABLE.fullmatch(key) else f" (attempt=next {argument} changes it on the way)"
            raise UserError(
                f"{key}: cannot change when a run is resumed (the run has {here!r}, asked for {asked!r}); only "
                "trainer.max_steps, trainer.max_minutes, *_every_steps, *.root, logger.* and device may.\n"
                f"Start a new run from its weights instead: {override('init_from', run)} {argument}{also}"
            )
    from hydra.core.config_store import ConfigStore

    older = [] if "guard" in saved else [{"guard": "none"}]  # written before there was one
    node = {"defaults": [*older, {"hydra": "train"}, "_self_"], "attempt": 0, **saved, "resume": None, "trust": False}
    ConfigStore.instance().store(name="resumed_run", node=node)
    arguments += [f"hydra.run.dir={quoted(str(Path(run).resolve()))}", "hydra.output_subdir=null"]
    return "resumed_run", found


def _next_attempt(saved: dict[str, Any], arguments: list[str]) -> bool:
    """Whether another attempt is asked for, whose number then stands for ``next``."""
    given = value_of("attempt", arguments)
    if given is None:
        return False
    if given != "next":
        raise UserError(f"attempt: must be next, got {given}")
    number = int(saved.get("attempt") or 0) + 1
    arguments[:] = [f"attempt={number}" if a.startswith("attempt=") else a for a in arguments]
    return True


def opened(arguments: list[str], config_name: str) -> tuple[str, RunConfig | None]:
    """Let every group of the saved config of ``run=<run>`` stand as the choice that the command line may replace.

    Args:
        arguments: as typed; what stands for something else is replaced.
        config_name: ``sample`` or ``evaluate``, whose own keys come on top.

    Returns:
        The name of the primary config, and what the run says; None where help is asked for.
    """
    _split_runs(arguments)
    run = value_of("run", arguments)
    if run is None:
        if not LOOKING & {a.split("=")[0] for a in arguments}:
            raise UserError("run: is required, e.g. run=outputs/digits/2026-11-23_12-00-00")
        return config_name, None
    import yaml
    from hydra.core.config_store import ConfigStore

    found = read_run_config(run, trusted(arguments), live=("logger",))
    saved = copy.deepcopy(found.values)
    own = yaml.safe_load((CONF / f"{config_name}.yaml").read_text(encoding="utf-8"))
    of_own = [each for each in own.pop("defaults") if each != "_self_"]
    defaults: list[Any] = [each for each in of_own if "hydra" not in each]
    store = ConfigStore.instance()
    for i, argument in enumerate(arguments):  # start=… is sampling.start, a choice of its own
        if argument.startswith("start="):
            arguments[i] = f"start@sampling.start={argument.removeprefix('start=')}"
    chosen = {argument.split("=")[0] for argument in arguments}
    for key in [key for key, value in saved.items() if key in GROUPS and isinstance(value, dict)]:
        node = saved.pop(key)
        if key in chosen:  # with the choices inside of it, so those of the run fall away
            store.store(group=key, name="saved", node=node)
            defaults.append({key: "saved"})
            continue
        inner = {path: node.pop(path.split(".")[1]) for path in NESTED if path.startswith(f"{key}.")
                 and isinstance(node.get(path.split(".")[1]), dict)}  # fmt: skip
        store.store(group=key, name="saved", node=node)
        defaults.append({key: "saved"})
        for path, part in inner.items():
            group = NESTED[path]
            store.store(group=group, name=f"saved_{path.replace('.', '_')}", node=part)
            defaults.append({f"{group}@{path}": f"saved_{path.replace('.', '_')}"})
    defaults += [{"hydra": config_name}, "_self_"]
    for key in ("resume", "init_from", "defaults", "hydra"):
        saved.pop(key, None)
    node = {"defaults": defaults, **saved, **own, "run_seed": saved.get("seed", 0)}
    store.store(name="saved_run", node=node)
    return "saved_run", found


def _split_runs(arguments: list[str]) -> None:
    """``run=[A,B]`` is ``run=A others=[B]``: the first run's config is the one that all else is replaced in."""
    for i, argument in enumerate(arguments):
        listed = re.fullmatch(r"run=\[(.*)\]", argument)
        if listed:
            first, *others = [path.strip().strip("'\"") for path in listed[1].split(",")]
            quoted = ",".join(f"'{path}'" for path in others)
            arguments[i : i + 1] = [f"run='{first}'", f"others=[{quoted}]"]
            return


def notes_on(found: RunConfig, arguments: list[str]) -> list[str]:
    """Lines on what a run was sent to, fetched or kept elsewhere by, where its user does not say it again; and whence
    its data are read.

    Args:
        found: what the run says.
        arguments: as typed.
    """
    typed = {argument.lstrip("+~").partition("=")[0] for argument in arguments}
    told = {name: value for name, value in found.not_taken.items() if name not in typed}
    dataset = found.values.get("dataset")
    where = {name: dataset.get(name) for name in ("root", "path")} if isinstance(dataset, dict) else {}
    read = [f"dataset.{name}: the run's, {at!r}" for name, at in where.items() if at and f"dataset.{name}" not in typed]
    return read + [
        f"{name}: not taken from the run, which has {value!r}; {override(name, value)} takes it"
        for name, value in told.items()
        if value is not True  # download: data that are not there say so themselves
    ]


def _look_up(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node if not isinstance(node, dict) else node.get("_target_", "…")
