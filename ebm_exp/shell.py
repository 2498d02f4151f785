"""Commands as texts: what a person can paste into a shell, or into a notebook, and the command that started this
process.
"""

import itertools
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ebm_exp.files import ARRAYS
from ebm_exp.ranks import given

_PLAIN = re.compile(r"[\w./:+-]+", re.ASCII)
_IS_TEXT = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_/][\w./+-]*", re.ASCII | re.IGNORECASE)  # to Hydra, bare
_typed: list[str] = []
_in_python: ContextVar[bool] = ContextVar("in_python", default=False)


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


def value_text(value: Any) -> str:
    """A value of a config as Hydra reads it behind a key's ``=``."""
    if isinstance(value, dict | list):
        inside = (
            [f"{k}:{value_text(v)}" for k, v in value.items()] if isinstance(value, dict) else map(value_text, value)
        )
        return ("{%s}" if isinstance(value, dict) else "[%s]") % ",".join(inside)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    text = str(value)
    return text if not isinstance(value, str) or _IS_TEXT.fullmatch(text) else quoted(text)


def command(name: str) -> str:
    """``python train.py``, or ``ebm-train`` where that was what started this process; the same for the others.

    What ``torchrun`` started, it is to start again.
    """
    is_installed = Path(sys.argv[0]).name.startswith("ebm-")
    if name == "train" and not given().alone:
        started = f"torchrun --nproc-per-node {os.environ.get('LOCAL_WORLD_SIZE', given().n)}"
        return f"{started} --no-python ebm-train" if is_installed else f"{started} train.py"
    return f"ebm-{name}" if is_installed else f"python {name}.py"


@contextmanager
def in_python() -> Iterator[None]:
    """Within it what is printed for a person to type is Python."""
    before = _in_python.set(True)
    try:
        yield
    finally:
        _in_python.reset(before)


def to_draw(run: Path) -> str:
    """What draws samples from a run."""
    if _in_python.get():
        return f"ebm_exp.load_run({json.dumps(str(run), ensure_ascii=False)}).draw(64)"
    return f"{command('sample')} {override('run', run)}"


def to_train(key: str, run: Path, *words: str) -> str:
    """What trains on from a run.

    Args:
        key: ``resume`` or ``init_from``.
        run: its directory.
        words: further overrides.
    """
    if not _in_python.get():
        return " ".join([command("train"), override(key, run), *words])
    path = str(run) if _PLAIN.fullmatch(str(run)) else quoted(str(run))
    said = (json.dumps(word, ensure_ascii=False) for word in (f"{key}={path}", *words))
    is_array = key == "init_from" and any((run / name).is_file() for name in ARRAYS)
    return f"ebm_exp.fit({'x' if is_array else 'None'}, {', '.join(said)})"


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
