"""What a command line may not say: refused before Hydra reads it, writes anything or ends in a traceback."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.mends import runs_in
from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.keys import COLLECTIONS, GROUPS, is_path
from ebm_exp.config.no_run import refuse_no_run
from ebm_exp.config.trust import CONF
from ebm_exp.ranks import given
from ebm_exp.shell import override_list

_LONGEST = 255  # bytes of a name, in all file systems that are in use
_MODES = {
    **{name: "--cfg" for name in ("--cfg", "-c")},
    **{name: "--info" for name in ("--info", "-i")},
    **{name: "-m" for name in ("--multirun", "-m")},
    **{name: "--run" for name in ("--run", "-r")},
    **{name: "--shell-completion" for name in ("--shell-completion", "-sc")},
}
_NO_CHOICE = (type(None), bool, int, float, list, dict)


def refuse_empty_paths(line: CommandLine) -> None:
    """A path that is given empty was as a rule an unset shell variable: it must not pass for no path.

    Nor may the name of a run be taken for a reference, which would lead to another.

    Raises:
        UserError: naming the key.
    """
    for each in line.overrides:
        if each.key in ("resume", "run", "against", "init_from") and "${" in (each.text or ""):
            raise UserError(f"{each.key}: a run directory whose name holds ${{ cannot be given; rename {each.text}")
        if each.text is not None and not each.text.strip(" '\"") and is_path(each.key):
            raise UserError(f"{each.key}: is empty (unset variable?)")


def refuse_two_modes(line: CommandLine) -> None:
    """A command does one thing: run, run several, or show something; Hydra ends in a traceback.

    Raises:
        UserError: naming both.
    """
    given = [option.partition("=")[0] for option in line.options]
    if {"--help", "-h", "--hydra-help", "--version"} & set(given):
        return  # they come first
    modes = list(dict.fromkeys(_MODES[each] for each in given if each in _MODES))
    if len(modes) > 1:
        one = "; what is shown is one run's" if {"--cfg", "--info"} & set(modes) else ""
        raise UserError(f"{modes[0]}: cannot be combined with {modes[1]}{one}")
    if "--resolve" in given and "--cfg" not in modes:
        raise UserError("--resolve: goes with --cfg job")


def refuse_long_names(line: CommandLine) -> None:
    """Refuse a name, or a part of a path, that no file system takes.

    Raises:
        UserError: naming the key.
    """
    for each in line.overrides:
        for value in each.values if each.key in ("name", "dataset.name") or is_path(each.key) else ():
            long = [len(os.fsencode(part)) for part in re.split(r"[/\\]", str(value))]
            if max(long) > _LONGEST:
                raise UserError(
                    f"{each.key}: no name of a file or folder is longer than {_LONGEST} bytes, got {max(long)}"
                )


def refuse_files_for_folders(line: CommandLine) -> None:
    """A folder to write to must not be, or lie in, a file.

    Raises:
        UserError: naming the file.
    """
    for each in line.overrides:
        for value in each.values if each.key in ("hydra.run.dir", "hydra.sweep.dir", "output_dir") else ():
            path = Path(str(value)).expanduser()
            if (there := next((p for p in (path, *path.parents) if os.path.lexists(p)), path)).is_file():
                raise UserError(f"{each.key}: {there} is a file, no folder can be there")


def refuse_names_outside(line: CommandLine) -> None:
    """Refuse a name by which a run would lie elsewhere than in ``outputs``; ``hydra.run.dir`` is for that.

    Raises:
        UserError: naming the key.
    """
    for each in line.overrides:
        for value in each.values if each.key in ("name", "dataset.name") else ():
            name = str(value).replace("\\", "/").strip("'\" ")
            if name.startswith(("/", "~")) or ".." in name.split("/"):
                where = f"must name a folder inside of outputs, got {name!r}; hydra.run.dir=… is any"
                raise UserError(f"{each.key}: {where}")


def refuse_no_choices(line: CommandLine) -> None:
    """What can name no choice of a group, ``logger=null`` or ``sampler=3``: Hydra ends in a traceback.

    Raises:
        UserError: naming the group and its choices.
    """
    for each in line.overrides:
        if each.text is None or not (each.group in GROUPS or each.group.startswith("hydra/")):
            continue
        several = each.group in COLLECTIONS and isinstance(each.value, list) and each.value  # as they merge
        for value in several or each.values:
            if value == "" or isinstance(value, _NO_CHOICE):
                said = each.text if value is each.value else "null" if value is None else str(value)
                folder = CONF / each.group
                choices = [file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml")]
                raise UserError(f"{each.key}: {said or 'nothing'} is no choice; {nearest(said, choices)}")


def refuse_resume_of_several(line: CommandLine) -> None:
    """One run goes on at a time, and only a run that goes on has a next attempt.

    Raises:
        UserError: naming the key.
    """
    attempt, run = line.value("attempt"), line.value("resume")
    if line.program != "train":
        return
    if run is None and attempt not in (None, "0"):
        raise UserError("attempt: next goes with resume=<run>, a new run has none")
    if run is not None and {"-m", "--multirun"} & set(line.options):
        raise UserError("resume: goes on with one run, it cannot be combined with -m")
    if run is not None and attempt not in (None, "next"):
        raise UserError(f"attempt: must be next, got {attempt}")


def refuse_none_named(line: CommandLine) -> None:
    """A run to draw from, or to evaluate, must be named.

    Raises:
        UserError: with an example.
    """
    if line.program != "train" and line.value("run") is None and not line.is_looking:
        raise UserError("run: is required, e.g. run=outputs/digits/2026-11-23_12-00-00")


def refuse_sweep_over_runs(line: CommandLine) -> None:
    """The config of one run is what Hydra starts from: several runs are a list, and no values of a sweep.

    Raises:
        UserError: with what to type.
    """
    for each in line.overrides if line.program != "train" else ():
        if each.key == "run" and len(each.values) > 1:
            listed = override_list("run", map(str, each.values))
            if line.program == "evaluate":
                raise UserError(f"run: several runs are a list, without -m: {listed}")
            raise UserError(f"run: sample.py draws from one run; from several as one density by {listed} mode=compose")


def refuse_several_without_compose(line: CommandLine) -> None:
    """Of the modes one draws from several runs; another one would leave all but the first out.

    Raises:
        UserError: with what to type.
    """
    listed = [each for each in line.overrides if each.key == "run" and runs_in(each)]
    others = {file.stem for file in (CONF / "mode").glob("*.yaml")} - {"compose"}
    if line.program == "sample" and listed and (line.value("mode") or "grid") in others:
        raise UserError(f"run: {listed[-1].text} is several; mode=compose draws from them as one density")


def refuse_no_other_run(line: CommandLine) -> None:
    """A run that is read beside the one that a command starts from must be one, before anything is composed.

    Raises:
        UserError: saying what it is.
    """
    for each in line.overrides if not line.is_looking else ():
        if each.key in ("against", "init_from"):
            for value in filter(None, each.values):
                path = Path(str(value)).expanduser()
                if each.key == "against" or not (path / "checkpoints").is_dir():
                    refuse_no_run(path, each.key)
        elif each.key == "run" and line.program == "sample":
            for other in (runs_in(each) or [])[1:]:
                refuse_no_run(Path(other).expanduser())


def refuse_absent_slurm(line: CommandLine) -> None:
    """A sweep must not begin where its jobs cannot be handed over.

    Raises:
        UserError: naming the launcher.
    """
    launcher = line.value("hydra/launcher")
    if launcher in ("slurm", "submitit_slurm") and not line.is_looking and shutil.which("srun") is None:
        raise UserError(f"hydra/launcher: {launcher} needs srun, which is not here; submitit starts processes instead")


def refuse_ranks(line: CommandLine) -> None:
    """Of several processes that ``torchrun`` started only a single training has a use.

    Raises:
        UserError: with what to do instead.
    """
    if given().alone or line.is_looking:
        return
    if line.program != "train":
        raise UserError(f"torchrun: {line.program}.py is one process; start it with python")
    if line.is_sweep:
        raise UserError(
            "-m: torchrun starts processes for one training, which end with its first job; a sweep of such trainings "
            "is a loop in the shell"
        )


CHECKS: tuple[Callable[[CommandLine], None], ...] = (
    refuse_two_modes,
    refuse_empty_paths,
    refuse_long_names,
    refuse_files_for_folders,
    refuse_names_outside,
    refuse_no_choices,
    refuse_resume_of_several,
    refuse_none_named,
    refuse_sweep_over_runs,
    refuse_several_without_compose,
    refuse_no_other_run,
    refuse_absent_slurm,
    refuse_ranks,
)
