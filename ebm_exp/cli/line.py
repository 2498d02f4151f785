"""The command line before Hydra reads it: what it would misread is mended, what would do harm is refused."""

import itertools
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from ebm_exp.config.errors import UserError
from ebm_exp.shell import override

_PATHS = re.compile(
    r"(resume|init_from|run|against|output_dir|hydra\.(run|sweep)\.dir|([\w.]+\.)?(root|path|cache_dir|dir))"
)
_WITH_VALUE = {  # options of Hydra
    *("--cfg", "-c", "--info", "-i", "--package", "-p", "--config-dir", "-cd"),
    *("--config-path", "-cp", "--config-name", "-cn", "--experimental-rerun"),
}
_CLAIMS = Path("outputs/.starts")  # one empty folder for each start of the last minute
_STALE = 60.0  # seconds
_held: list[str] = []


def quote_home(arguments: Sequence[str]) -> list[str]:
    """``key=~/data`` as Hydra can read it, for a shell that left the ~: Hydra takes a bare one for a deletion."""
    return [re.sub(r"(?<==)(~[^',\[\]{}\s]*)$|(?<=[\[,])\s*(~[^',\[\]{}\s]*)", _quoted, a) for a in arguments]


def overrides_first(arguments: Sequence[str]) -> list[str]:
    """Options behind what is overridden: between them (``experiment=plane -m seed=1,2``) Hydra takes none."""
    overrides, options, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        options.append(argument)
        if argument in _WITH_VALUE and rest and (argument not in ("--info", "-i") or "=" not in rest[0]):
            options.append(rest.pop(0))
    return overrides + options


def _quoted(match: re.Match[str]) -> str:
    return f"'{(match[1] or match[2]).strip()}'"


def refuse_empty_paths(arguments: Sequence[str]) -> None:
    """A path that is given empty was as a rule an unset shell variable: it must not pass for no path.

    Nor may the name of a run be taken for a reference, which would lead to another.

    Raises:
        UserError: naming the key.
    """
    for argument in arguments:
        key, given, value = argument.lstrip("+").partition("=")
        if key in ("resume", "run", "against", "init_from") and "${" in value:
            raise UserError(f"{key}: a run directory whose name holds ${{ cannot be given; rename {value}")
        if given and not value.strip(" '\"") and _PATHS.fullmatch(key):
            raise UserError(f"{key}: is empty (unset variable?)")


def refuse_used_directory(arguments: Sequence[str], key: str) -> None:
    """Hydra writes into its directory before anything else runs: one that holds a run must be known before.

    Args:
        arguments: the command line.
        key: what names the directory: ``hydra.run.dir`` or ``output_dir``.

    Raises:
        UserError: naming the directory.
    """
    given = value_of(key, arguments)
    if given is None:
        return
    path = Path(given)
    if (path / ".hydra").exists() or (path / "summary.json").exists():
        holds = "a run already; go on with " + override("resume", given) if key == "hydra.run.dir" else "files already"
        raise UserError(f"{key}: {path} holds {holds}")


def refuse_absent_slurm(arguments: Sequence[str]) -> None:
    """A sweep must not begin where its jobs cannot be handed over.

    Raises:
        UserError: naming the launcher.
    """
    launcher = value_of("hydra/launcher", arguments)
    if launcher in ("slurm", "submitit_slurm") and shutil.which("srun") is None:
        raise UserError(f"hydra/launcher: {launcher} needs srun, which is not here; submitit starts processes instead")


def claim_stamp() -> str:
    """The time that names this start's directory, with a number behind it if another start has taken this second."""
    _CLAIMS.mkdir(parents=True, exist_ok=True)
    for claim in _CLAIMS.iterdir():
        try:
            if time.time() - claim.stat().st_mtime > _STALE:
                claim.rmdir()
        except OSError:  # another start was quicker
            continue
    now, i = time.strftime("%Y-%m-%d_%H-%M-%S"), 0
    while True:
        stamp = f"{now}_{i}" if i else now
        try:
            os.mkdir(_CLAIMS / stamp)
        except FileExistsError:
            i += 1
        else:
            return stamp


def config_dirs(arguments: Sequence[str]) -> list[Path]:
    """The folder of YAML files of one's own, ``--config-dir <folder>``, if one is given."""
    given = [a.split("=", 1)[1] for a in arguments if a.startswith(("--config-dir=", "-cd="))]
    given += [b for a, b in itertools.pairwise(arguments) if a in ("--config-dir", "-cd")]
    return [Path(folder).expanduser().resolve() for folder in given[-1:]]


def value_of(key: str, arguments: Sequence[str]) -> str | None:
    """The last value that a key was given, unquoted; None when it was not, or ``null``."""
    values = [a.split("=", 1)[1] for a in arguments if a.startswith(key + "=")]
    if not values or values[-1] in ("", "null"):
        return None
    value = values[-1]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return re.sub(r"\\(['\"\\])", r"\1", value[1:-1])
    return value


def refuse_names_outside(arguments: Sequence[str]) -> None:
    """Refuse a name by which a run would lie elsewhere than in ``outputs``; ``hydra.run.dir`` is for that.

    Raises:
        UserError: naming the key.
    """
    for argument in arguments:
        key, given, value = argument.lstrip("+~").partition("=")
        if not given or key not in ("name", "dataset.name"):
            continue
        for name in value.replace("\\", "/").split(","):
            name = name.strip("'\" ")
            if name.startswith(("/", "~")) or ".." in name.split("/"):
                raise UserError(f"{key}: must name a folder inside of outputs, got {name!r}; hydra.run.dir=… is any")


def hold_back(arguments: Sequence[str]) -> list[str]:
    """What Hydra composes for a sweep as a whole: its own keys alone, for a key of one job may be unknown to another.

    All others wait for the sweeper (``held_back``). Without a sweep, or with a sweeper that is none of ours, all stay.
    """
    _held.clear()
    search = any(a.startswith("hparams_search=") for a in arguments)
    foreign = any(re.match(r"hydra/sweeper=(?!grid$|search$)", a) for a in arguments)
    if foreign or not (search or {"-m", "--multirun"} & set(arguments)):
        return list(arguments)
    kept = re.compile(r"-|\+*hydra[./]|hparams_search=|(?!~)[^=]*$")  # the last: what stands behind an option
    _held.extend(a for a in arguments if a.startswith("hparams_search=") or not kept.match(a))
    return [a for a in arguments if kept.match(a)]


def held_back() -> list[str]:
    """The overrides of a sweep's jobs."""
    return list(_held)
