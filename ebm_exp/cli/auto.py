"""One command that begins a run, or goes on with it: ``resume=auto``, for schedulers that start it again."""

from pathlib import Path

from ebm_exp.cli.line import value_of
from ebm_exp.config import plain
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import RESUMABLE
from ebm_exp.config.run_config import refuse_links
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.lock import claimed
from ebm_exp.shell import quoted


def begin_or_go_on(arguments: list[str]) -> None:
    """``resume=auto``: go on with the run in ``hydra.run.dir`` if one is there that got to a checkpoint, else begin it.

    The rest of the command line must be the one that the run began with, but for what may change.

    Raises:
        UserError: when no directory is named, or the run in it is another.
    """
    run = value_of("hydra.run.dir", arguments)
    if run is None:
        raise UserError("resume: auto needs hydra.run.dir=<folder>, where the run goes on or begins")
    arguments[:] = [a for a in arguments if not a.startswith("resume=")]
    directory = RunDirectory(run)
    if value_of("trust", arguments) not in ("true", "True"):
        refuse_links(run, "hydra.run.dir")
    if not directory.checkpoint_steps():
        with claimed(directory, "resume"):
            directory.clear()
        return
    began_with = _began_with(directory.path)
    for argument in arguments:
        key, given, _ = argument.lstrip("+~").partition("=")
        if given and not argument.startswith("-") and key != "hydra.run.dir" and not RESUMABLE.fullmatch(key):
            if argument not in began_with:
                raise UserError(f"resume: {run} holds a run that began without {argument}; another folder begins one")
            began_with.remove(argument)
    if left := [a for a in began_with if not RESUMABLE.fullmatch(a.lstrip("+~").partition("=")[0])]:
        raise UserError(f"resume: {run} holds a run that began with {left[0]}; another folder begins one")
    kept = [a for a in arguments if a.startswith("-") or RESUMABLE.fullmatch(a.lstrip("+~").partition("=")[0])]
    arguments[:] = [f"resume={quoted(run)}", *(a for a in kept if not a.startswith("hydra.run.dir="))]


def _began_with(run: Path) -> list[str]:
    file = run / ".hydra" / "overrides.yaml"
    try:
        return [str(each) for each in plain.read(file) or []] if file.is_file() else []
    except (plain.PlainError, OSError, TypeError) as error:
        raise UserError(f"hydra.run.dir: {file} {error}") from None
