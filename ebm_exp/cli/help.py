"""``--help``: what a command does, in one screen of 80 columns, and the choices of a group. Hydra is not asked."""

import re
import textwrap
from collections.abc import Iterable
from itertools import starmap
from pathlib import Path

from ebm_exp.cli.line import CommandLine
from ebm_exp.config.choices import files, header
from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.trust import CONF
from ebm_exp.shell import command

_WIDTH = 80
_DOES = {
    "train": "Train an energy-based model, a network E with p(x) = exp(−E(x))/Z. What it learns, "
    "logs and draws stands in outputs/<name>/<stamp>, with a page to open: report.html.",
    "sample": "Draw from a trained run, by its own config, or with other chains. The image and "
    "the arrays stand in <run>/draws/<stamp>.",
    "evaluate": "Say how good a trained run is, or several, by numbers with their protocol. They "
    "stand in <run>/evaluations/<stamp>, the last ones in <run>/evaluation.json.",
}
_USAGE = {
    "train": "[group=choice …] [key=value …]",
    "sample": "run=<run> [mode=…] [key=value …]",
    "evaluate": "run=<run> [evaluator=[…]] [key=value …]",
}
_RUN = "run=outputs/digits/<stamp>"
EXAMPLES = {  # what a command does, and its words as bash reads them
    "train": [
        ("handwritten digits, a minute on two cores", ""),
        ("a density in the plane, and how far it is from the truth", "experiment=plane dataset=rings"),
        (
            "images of your own, a first one after a minute",
            "experiment=flow dataset=image_folder dataset.root=~/images",
        ),
        ("a table of your own: a CSV, Parquet or array file", "experiment=table dataset.path=~/measured.csv"),
        ("every combination, one after the other, and one report", "-m seed=1,2,3 energy=mlp,conv"),
        ("go on where a run stopped, to the same numbers", "resume=outputs/digits/<stamp>"),
    ],
    "sample": [
        ("64 samples: an image, and an array", _RUN),
        ("more of them, by longer chains", f"{_RUN} n_samples=1000 n_steps=600"),
        ("by another kernel, from noise", f"{_RUN} sampler=mala start=uniform"),
        ("chains on their way, with diagnostics", f"{_RUN} mode=chain"),
        ("the left half hidden, and drawn anew", f"{_RUN} mode=inpaint mask=left"),
        ("by the live weights, not their average", f"{_RUN} weights=online"),
    ],
    "evaluate": [
        ("by the run's own evaluators", _RUN),
        ("by others", f"{_RUN} 'evaluator=[frechet,manifold]'"),
        ("on longer chains", f"{_RUN} sampling.n_steps=1000"),
        ("all runs of a folder, one table", "'run=outputs/digits/*' evaluator=mmd"),
        ("the three best settings of a sweep", "run=outputs/multirun/digits/<stamp> top=3"),
        ("does it tell its data from those of another run", f"{_RUN} evaluator=ood against=<another>"),
    ],
}
_GROUPS = {  # of a line each
    "experiment": "a whole recipe: flow, plane, table, …",
    "dataset energy noise normaliser": "what is learned, by which network",
    "objective regularization": "the loss and its terms",
    "sampler start buffer sampling": "how chains move, begin and are kept",
    "engine optimizer schedule": "how it is computed, how weights move",
    "trainer guard augmentation debug": "how long, when to stop; a trial run",
    "evaluator logger": "how good the model is; where numbers go",
    "hparams_search": "a ready search of good values",
}
_OF = {"train": " ".join(_GROUPS).split(), "sample": ["mode", "sampler", "sampling", "start"]}
_OF["evaluate"] = ["evaluator", "sampler", "sampling", "start"]


def answer(line: CommandLine) -> str | None:
    """What ``--help``, or ``--help <group>``, says; None where a command line asks for no help.

    Raises:
        UserError: for a word that names no group.
    """
    if not {"-h", "--help"} & set(line.options):
        return None
    groups = [each.key for each in line.overrides if each.text is None and not each.deletes]
    for group in groups:
        if group not in _OF[line.program]:
            raise UserError(f"--help {group}: there is no such group; {nearest(group, _OF[line.program])}")
    folders = (CONF, *line.config_dirs)
    return "\n".join(_choices(group, folders) for group in groups) or _page(line.program)


def _page(program: str) -> str:
    typed = command(program)
    page = [*textwrap.wrap(_DOES[program], _WIDTH), "", f"    {typed} {_USAGE[program]}", ""]
    for does, words in EXAMPLES[program]:
        page += [f"# {does}", f"{typed} {words}".rstrip()]
    group = {"train": "dataset", "sample": "mode"}.get(program, "evaluator")
    page += ["", f"Groups, each as group=choice; {typed} --help {group} explains one:"]
    if program == "train":
        page += [f"  {groups:<34}{does}" for groups, does in _GROUPS.items()]
        page += ["", _wrapped("", ", ".join(key for key, _, _ in _keys(program)), "Keys beside them: ")]
    else:
        page += [_wrapped(f"{group:<12}", ", ".join(_choices_of(group))) for group in _OF[program]]
        page += ["", "Keys, with their defaults:", *starmap(_key, _keys(program))]
    read = {"train": "command_line", "sample": "drawing", "evaluate": "evaluation"}[program]
    run = "" if program == "train" else f" {_RUN}"
    return "\n".join(
        [*page, "", "All keys and values:", f"  {typed}{run} --cfg job", f"Read on in README.md and docs/{read}.md."]
    )


def _wrapped(name: str, text: str, margin: str = "  ") -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=margin + name, subsequent_indent=" " * len(margin + name), break_on_hyphens=False
    )


def _choices_of(group: str, folders: Iterable[Path] = (CONF,)) -> dict[str, Path]:
    return {f.relative_to(d / group).with_suffix("").as_posix(): f for d in folders for f in files(d, group)}


def _choices(group: str, folders: Iterable[Path]) -> str:
    """A group's choices, those of folders of one's own too, each with what its file says of it."""
    found = _choices_of(group, folders)
    room = 2 + max(map(len, found))
    return "\n".join([f"{group}=", *(_wrapped(f"{name:<{room}}", header(file)) for name, file in found.items())])


def _keys(program: str) -> list[tuple[str, str, str]]:
    """The keys of a command's own file, each with its default and the comment beside it there."""
    text = (CONF / f"{program}.yaml").read_text(encoding="utf-8").partition("\n\n")[2]
    return [found for found in re.findall(r"^(\w+): *(.*?) *(?:# (.*))?$", text, re.MULTILINE) if found[0] != "others"]


def _key(name: str, value: str, said: str) -> str:
    shown = f"{name}=" + ("…" if value == "???" or "$" in value else value)
    return _wrapped(f"{shown:<20}", said) if said else f"  {shown}"
