"""One command that begins a run, or goes on with it: ``resume=auto``, for schedulers that start it again."""

from pathlib import Path

from ebm_exp.cli.line import CommandLine
from ebm_exp.config import plain
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import may_change_on_resume
from ebm_exp.config.override import Override
from ebm_exp.config.run_config import refuse_links
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.lock import claimed
from ebm_exp.shell import quoted


def begin_or_go_on(line: CommandLine) -> CommandLine:
    """``resume=auto``: go on with the run in ``hydra.run.dir`` if one is there that got to a checkpoint, else begin it.

    The rest of the command line must be the one that the run began with, but for what may change.

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
        if not line.is_looking:
            with claimed(directory, "resume"):
                directory.clear()
        return line
    before = [each for each in _began_with(directory.path) if not may_change_on_resume(each.key)]
    left = list(before)
    for each in line.overrides:
        if may_change_on_resume(each.key):
            continue
        same = [other for other in left if _is_same(each, other)]
        if not same:
            raise UserError(f"resume: {run} holds a run that began without {each}; another folder begins one")
        left.remove(same[0])
    if left:
        raise UserError(f"resume: {run} holds a run that began with {left[0]}; another folder begins one")
    return line.without("hydra.run.dir", *(each.key for each in before)).set("resume", quoted(run))


def _is_same(a: Override, b: Override) -> bool:
    """Whether they say the same: a ``++`` may have been put before what was typed without it."""
    return (a.key, a.text, a.deletes) == (b.key, b.text, b.deletes)


def _began_with(run: Path) -> list[Override]:
    file = run / ".hydra" / "overrides.yaml"
    try:
        return [Override.read(str(each)) for each in plain.read(file) or []] if file.is_file() else []
    except (plain.PlainError, OSError, TypeError) as error:
        raise UserError(f"hydra.run.dir: {file} {error}") from None
