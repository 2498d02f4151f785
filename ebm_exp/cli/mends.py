"""What a command line says in its users' words, in Hydra's: functions from one command line to the next."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ebm_exp.cli.line import CommandLine
from ebm_exp.config import plain
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import kind_of, may_change_on_resume
from ebm_exp.config.override import Override
from ebm_exp.config.run_config import refuse_links
from ebm_exp.run.attempt import asked, changes
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import quoted, value_text

_HOME = re.compile(r"^(~[^',\[\]{}\s]*)$|(?<=[\[,])\s*(~[^',\[\]{}\s]*)")


def quote_home(line: CommandLine) -> CommandLine:
    """``key=~/data`` as Hydra can read it, for a shell that left the ~: Hydra takes a bare one for a deletion.

    Data sets and loggers look for the home themselves, and a config keeps what was typed; of runs and of the folders
    that a command writes into it is put in here.
    """

    def quote(override: Override) -> list[Override]:
        is_folder = kind_of(override.key) == "run" or override.key in ("hydra.run.dir", "hydra.sweep.dir", "output_dir")
        expand = os.path.expanduser if is_folder else str
        text = _HOME.sub(lambda match: quoted(expand((match[1] or match[2]).strip())), override.text or "")
        return [override if override.text is None else replace(override, text=text)]

    return line.mapped(quote)


def runs_in(override: Override) -> list[str] | None:
    """The runs of ``run=[A,B]``; None where it is no list."""
    text = override.text or ""
    if not re.fullmatch(r"\[.+\]", text):
        return None
    listed = override.value if isinstance(override.value, list) else text[1:-1].split(",")
    return [str(each).strip() for each in listed]


def split_runs(line: CommandLine) -> CommandLine:
    """``run=[A,B]`` is ``run=A others=[B]``: the first run's config is the one that all else is replaced in."""

    def split(override: Override) -> list[Override]:
        if line.program != "sample" or override.key != "run" or (runs := runs_in(override)) is None:
            return [override]
        first, *others = map(quoted, runs)
        return [replace(override, text=first), Override("", "others", f"[{','.join(others)}]")]

    return line.mapped(split)


def name_start(line: CommandLine) -> CommandLine:
    """``start=…`` is where fresh chains start, a choice of its own: ``start@sampling.start=…``."""

    def name(override: Override) -> list[Override]:
        is_start = line.program != "train" and override.key == "start"
        return [replace(override, key="start@sampling.start") if is_start else override]

    return line.mapped(name)


def begin_or_go_on(line: CommandLine) -> CommandLine:
    """``resume=auto``, for schedulers that start a command again: go on with the run in ``hydra.run.dir``, or begin it.

    It goes on if there is one that got to a checkpoint.

    The rest of the command line must be the one that the run began with, or went on with, but for what may change. What
    it does not say of a run's length and pace holds as when the run began.

    Raises:
        UserError: when no directory is named, or the run in it is another.
    """
    if line.program != "train" or line.value("resume") != "auto":
        return line
    line, run = line.without("resume"), line.value("hydra.run.dir")
    if run is None:
        raise UserError("resume: auto needs hydra.run.dir=<folder>, where the run goes on or begins")
    directory = RunDirectory(run)
    if not line.trusts:
        refuse_links(run, "hydra.run.dir")
    if not directory.checkpoint_steps():
        return line  # what else is there goes once the folder is claimed
    before = {_without_sign(each): each for each in _began_with(directory.path)}
    typed = {_without_sign(each): each for each in line.overrides}
    changed = asked(changes(directory.summary()))
    now = {each.key for each in typed.values() if each.key in changed and each.value == changed[each.key][1]}
    for ours, others, how in ((typed, before, "without"), (before, typed, "with")):
        for said, each in ours.items():
            if said not in others and not may_change_on_resume(each.key) and each.key not in now:
                raise UserError(f"resume: {run} holds a run that began {how} {each}; another folder begins one")
    same = [key for key in line.keys if not may_change_on_resume(key)]
    for key, (value, _) in changed.items():  # the record may come from anywhere: of it count numbers alone
        if key not in line.keys and kind_of(key) in ("length", "pace") and isinstance(value, int | float | None):
            line = line.set(key, value_text(value))
    return line.without("hydra.run.dir", *same).set("resume", quoted(run))


def _without_sign(override: Override) -> str:
    """What it says: a ``++`` may have been put before what was typed without it."""
    return str(override if override.deletes else replace(override, sign=""))


def _began_with(run: Path) -> list[Override]:
    file = run / ".hydra" / "overrides.yaml"
    try:
        return [Override.read(str(each)) for each in plain.read(file) or []] if file.is_file() else []
    except (plain.PlainError, OSError, TypeError) as error:
        raise UserError(f"hydra.run.dir: {file} {error}") from None


def hold_back(line: CommandLine) -> CommandLine:
    """What Hydra composes for a sweep as a whole: its own keys alone, for a key of one job may be unknown to another.

    All others wait for the sweeper. Without a sweep, or with a sweeper that is none of ours, all stay.
    """
    is_foreign = line.value("hydra/sweeper") not in (None, "grid", "search")
    if line.program != "train" or line.is_looking or is_foreign or not line.is_sweep:
        return line
    of_hydra = [each for each in line.overrides if re.match(r"hydra[./]", each.key)]
    search = [each for each in line.overrides if each.key == "hparams_search"]
    held = tuple(str(each) for each in line.overrides if each not in of_hydra)
    return replace(line, overrides=(*of_hydra, *search), held=held)


MENDS: tuple[Callable[[CommandLine], CommandLine], ...] = (
    quote_home,
    split_runs,
    name_start,
    begin_or_go_on,
    hold_back,
)
