"""What a command line says in its users' words, in Hydra's: functions from one command line to the next."""

import re
from collections.abc import Callable
from dataclasses import replace

from ebm_exp.cli.auto import begin_or_go_on
from ebm_exp.cli.line import CommandLine
from ebm_exp.config.override import Override
from ebm_exp.shell import quoted

_HOME = re.compile(r"^(~[^',\[\]{}\s]*)$|(?<=[\[,])\s*(~[^',\[\]{}\s]*)")


def quote_home(line: CommandLine) -> CommandLine:
    """``key=~/data`` as Hydra can read it, for a shell that left the ~: Hydra takes a bare one for a deletion."""

    def quote(override: Override) -> list[Override]:
        text = _HOME.sub(lambda match: f"'{(match[1] or match[2]).strip()}'", override.text or "")
        return [override if override.text is None else replace(override, text=text)]

    return line.mapped(quote)


def split_runs(line: CommandLine) -> CommandLine:
    """``run=[A,B]`` is ``run=A others=[B]``: the first run's config is the one that all else is replaced in."""

    def split(override: Override) -> list[Override]:
        text = override.text or ""
        if line.program == "train" or override.key != "run" or not re.fullmatch(r"\[.+\]", text):
            return [override]
        listed = override.value if isinstance(override.value, list) else text[1:-1].split(",")
        first, *others = [quoted(str(each).strip()) for each in listed]
        return [replace(override, text=first), Override("", "others", f"[{','.join(others)}]")]

    return line.mapped(split)


def name_start(line: CommandLine) -> CommandLine:
    """``start=…`` is where fresh chains start, a choice of its own: ``start@sampling.start=…``."""

    def name(override: Override) -> list[Override]:
        is_start = line.program != "train" and override.key == "start"
        return [replace(override, key="start@sampling.start") if is_start else override]

    return line.mapped(name)


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
