"""Configs that lie in a run directory, as Hydra's primary config: ``train.py resume=<run>``, ``sample.py run=<run>``,
``evaluate.py run=<run>``.

They are read before Hydra composes anything.
"""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_exp.cli.line import CommandLine
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import CHANGEABLE, GROUPS, NESTED, OF_TRAINING, may_change_on_resume, may_change_with_attempt
from ebm_exp.config.run_config import RunConfig, read_run_config
from ebm_exp.config.tree import look_up
from ebm_exp.config.trust import ANY, CONF, Allowed, allowed_by
from ebm_exp.files import ARRAYS
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import override, quoted


@dataclass(frozen=True)
class Start:
    """What Hydra is started with, and what is known before of the run that the command names.

    Attributes:
        line: the command line, mended.
        primary: the name of Hydra's primary config.
        saved: the config of the run, as the run has it; empty: the command names none.
        allowed: what may be built: anything that its user typed, of a run's config its own kinds alone.
        notes: lines on what is not as the run says.
    """

    line: CommandLine
    primary: str
    saved: dict[str, Any] = field(default_factory=dict)
    allowed: Allowed = ANY
    notes: tuple[str, ...] = ()


def find_start(line: CommandLine) -> Start:
    """What a command starts from: the project's own config, or that of a run.

    Raises:
        UserError: when the run cannot be read, or what is asked for is nothing that may change in it.
    """
    key = "resume" if line.program == "train" else "run"
    run = line.value(key)
    if run is None:
        return Start(line, line.program)
    found = read_run_config(run, line.trusts, key, live=("logger",))
    which = (line.value("checkpoint") if key == "run" else None) or "latest"
    directory = RunDirectory(run)
    if directory.summary_file.is_file() and which in ("latest", "best", "diverged"):
        directory.find_checkpoint(which, key)  # said before anything is composed or imported
    if key == "resume":
        directory.refuse_export(key)
        line, primary = resume_run(line, run, found.values), "resumed_run"
    else:
        primary = "saved_run"
        open_run(line, found.values)
    if line.trusts:
        return Start(line, primary, found.values)
    allowed = allowed_by(run, line.words, line.config_dirs, key)
    return Start(line, primary, found.values, allowed, tuple(notes_on(found, line)))


def resume_run(line: CommandLine, run: str, saved: dict[str, Any]) -> CommandLine:
    """Make the config of a run the primary one, and keep Hydra from writing over the run.

    Args:
        line: the command line.
        run: the run directory.
        saved: its config.

    Returns:
        The command line for Hydra.
    """
    anew = line.value("attempt") == "next"
    for each in line.overrides:
        key, typed = each.key, str(each)
        if key in ("resume", "attempt") or may_change_on_resume(key) or (anew and may_change_with_attempt(key)):
            continue
        node = look_up(saved, key)
        here = node.get("_target_", "…") if isinstance(node, dict) else node
        also = f" (attempt=next {typed} changes it on the way)" if may_change_with_attempt(key) and not anew else ""
        raise UserError(
            f"{key}: cannot change when a run is resumed (the run has {here!r}, asked for {each.text or ''!r}); only "
            f"{', '.join(CHANGEABLE[:-1])} and {CHANGEABLE[-1]} may.\n"
            f"Start a new run from its weights instead: {override('init_from', run)} {typed}{also}"
        )
    from hydra.core.config_store import ConfigStore

    older = [] if "guard" in saved else [{"guard": "none"}]  # written before there was one
    node = {"defaults": [*older, {"hydra": "train"}, "_self_"], "attempt": 0, **saved, "resume": None, "trust": False}
    if anew:
        node["attempt"] = int(node["attempt"] or 0) + 1
    ConfigStore.instance().store(name="resumed_run", node=node)
    where = quoted(str(Path(run).resolve()))
    return line.without("attempt").set("hydra.run.dir", where).set("hydra.output_subdir", "null")


def open_run(line: CommandLine, config: dict[str, Any]) -> None:
    """Let every group of the config of a run stand as the choice that the command line may replace.

    Args:
        line: the command line, of ``sample`` or ``evaluate``, whose own keys come on top.
        config: the run's.

    Raises:
        UserError: when another choice is made of what the run was trained by.
    """
    if chosen := [key for key in OF_TRAINING if line.has(key)]:
        raise UserError(f"{chosen[0]}: says how the run was trained, which is over; it cannot be chosen anew")
    import yaml
    from hydra.core.config_store import ConfigStore

    saved = copy.deepcopy(config)
    own = yaml.safe_load((CONF / f"{line.program}.yaml").read_text(encoding="utf-8"))
    of_own = [each for each in own.pop("defaults") if each != "_self_"]
    defaults: list[Any] = [each for each in of_own if not {"hydra", "mode"} & set(each)]
    store = ConfigStore.instance()
    for key in [key for key, value in saved.items() if key in GROUPS and isinstance(value, dict)]:
        node = saved.pop(key)
        inner = {} if line.has(key) else {  # a choice that replaces it comes with the choices inside of it
            path: node.pop(path.split(".")[1]) for path in NESTED
            if path.startswith(f"{key}.") and isinstance(look_up(node, path.split(".")[1]), dict)
        }  # fmt: skip
        store.store(group=key, name="saved", node=node)
        defaults.append({key: "saved"})
        for path, part in inner.items():
            name = f"saved_{path.replace('.', '_')}"
            store.store(group=NESTED[path], name=name, node=part)
            defaults.append({f"{NESTED[path]}@{path}": name})
    # A mode comes last: it may have a number of samples of its own.
    defaults += [{"hydra": line.program}, "_self_", *(each for each in of_own if "mode" in each)]
    for key in ("resume", "init_from", "defaults", "hydra"):
        saved.pop(key, None)
    node = {"defaults": defaults, **saved, **own, "run_seed": saved.get("seed", 0)}
    store.store(name="saved_run", node=node)


def notes_on(found: RunConfig, line: CommandLine) -> list[str]:
    """Lines on what a run was sent to, fetched or kept elsewhere by, where its user does not say it again; and whence
    its data are read.
    """
    told = {name: value for name, value in found.not_taken.items() if not line.has(name)}
    where = {f"dataset.{name}": look_up(found.values, f"dataset.{name}") for name in ("root", "path")}
    own = [str(found.directory / name) for name in ARRAYS]
    read = [
        f"{name}: data are read from {at!r}, as the run says"
        for name, at in where.items()
        if at and at not in own and not line.has(name)
    ]
    return read + [
        f"{name}: not taken from the run, which has {value!r}; {override(name, value)} takes it"
        for name, value in told.items()
        if value is not True  # download: data that are not there say so themselves
    ]
