"""Commands as texts: what a person can paste into a shell, and the command that started this process."""

import itertools
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

_PLAIN = re.compile(r"[\w./:+-]+", re.ASCII)
_typed: list[str] = []


def override(key: str, value: str | Path) -> str:
    """``key=value`` as bash and Hydra can read it, whatever the value holds."""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"{key}={text}"
    argument = f"{key}={quoted(text)}"
    return shlex.quote(argument) if re.search(r'["$`!\\]', argument) else f'"{argument}"'


def override_list(key: str, values: Iterable[str]) -> str:
    """``'key=[a,b]'`` as bash and Hydra can read it."""
    return shlex.quote(f"{key}=[{','.join(v if _PLAIN.fullmatch(v) else quoted(v) for v in values)}]")


def quoted(text: str) -> str:
    """A text as Hydra's quoted value."""
    return "'" + text.replace("'", "\\'") + "'"


def command(name: str) -> str:
    """``python train.py``, or ``ebm-train`` where that was what started this process; the same for the others."""
    return f"ebm-{name}" if Path(sys.argv[0]).name.startswith("ebm-") else f"python {name}.py"


def remember(arguments: Sequence[str]) -> None:
    """Keep the command line as it was typed, before anything in it is mended."""
    _typed[:] = arguments


def typed() -> list[str]:
    """The command that started this process, as it was typed."""
    script = Path(sys.argv[0]).stem.removeprefix("ebm-")
    return [*command(script if script in ("sample", "evaluate") else "train").split(), *_typed]


def config_dirs(words: Sequence[str]) -> list[Path]:
    """The folder of YAML files of one's own that a command names, ``--config-dir <folder>``, if it names one."""
    given = [word.partition("=")[2] for word in words if word.startswith(("--config-dir=", "-cd="))]
    given += [value for option, value in itertools.pairwise(words) if option in ("--config-dir", "-cd")]
    return [Path(folder).expanduser().resolve() for folder in given[-1:]]
