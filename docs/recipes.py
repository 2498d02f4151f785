"""What the pages of docs/recipes/ take in when the site is built, in place of a comment that names it.

``<!-- experiments: du2019/* -->``: each of these experiments, with what its file says of its values, cost and numbers.
``<!-- results: papers | PCD | IGEBM -->``: that block of RESULTS.md, of it the rows, or the sections, that are named.
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import tables
from reference import plain, quoted

from benchmarks.results import RESULTS, blocks

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = ROOT / "conf" / "experiment"
WANTED = re.compile(r"<!-- (experiments|results): (.+?) -->")
NOTE = re.compile(r"^#   ([A-Z][a-z]+) +(.*(?:\n#    .*)*)", re.MULTILINE)  # of a recipe: Values, Ours, Cost, Expected


def filled(page: str) -> str:
    """A page with what its comments name.

    Raises:
        ValueError: when there is no such experiment, block, row or section.
    """
    return WANTED.sub(lambda wanted: _found(*wanted.groups()), page)


def _found(kind: str, names: str) -> str:
    if kind == "results":
        block, *rows = names.split(" | ")
        return result(block, rows)
    return "\n".join(line for file in asked(names) for line in of_experiment(file))


def asked(names: str) -> list[Path]:
    """The files of experiments that are named, one after the other."""
    files = {name_of(file): file for file in tables.files(ROOT / "conf", "experiment")}
    found = [[file for name, file in files.items() if fnmatch(name, each)] for each in names.split()]
    if not all(found):
        raise ValueError(f"<!-- experiments: {names} --> names none of conf/experiment")
    return [file for each in found for file in each]


def name_of(file: Path) -> str:
    """As it is typed: ``du2019/cifar10``."""
    return file.relative_to(EXPERIMENTS).with_suffix("").as_posix()


def places(pages: dict[str, str]) -> dict[str, str]:
    """Of each experiment the page that has it, from pages by their paths.

    Raises:
        ValueError: when an experiment stands on no page.
    """
    found = {
        name_of(file): path
        for path, text in pages.items()
        for kind, names in WANTED.findall(text)
        if kind == "experiments"
        for file in asked(names)
    }
    missing = {name_of(file) for file in tables.files(ROOT / "conf", "experiment")} - set(found)
    if missing:
        raise ValueError(f"docs/recipes: no page has <!-- experiments: {min(missing)} -->")
    return found


def overview(pages: dict[str, str]) -> str:
    """The page of all experiments, each with a link to the page that has it."""
    table, where = tables.table(ROOT / "conf", "experiment"), places(pages)
    linked = re.sub(r"(?<=^\| )`([\w/]+)`", lambda name: f"[{name[0]}](../{where[name[1]]})", table, flags=re.MULTILINE)
    return f"# experiment: whole recipes\n\nEach stands on a page with its values, cost and numbers.\n\n{linked}\n"


def of_experiment(file: Path) -> Iterator[str]:
    """What the file of an experiment says of itself, the command, and the file folded."""
    name = name_of(file)
    yield from (f"### {name}", "", plain(tables.header(file)) + ".", "")
    yield from ("```", f"python train.py experiment={name}", "```", "")
    for note, text in NOTE.findall(file.read_text(encoding="utf-8")):
        yield f"- **{note}**: {plain(' '.join(text.replace('#', ' ').split()))}"
    yield from ("", *quoted(file))


def result(name: str, rows: list[str]) -> str:
    """A block of RESULTS.md; of a block of sections those named, of a table the rows that begin with a name.

    Raises:
        ValueError: when there is no such block, section or row.
    """
    block = blocks(RESULTS.read_text(encoding="utf-8")).get(name)
    if block is None:
        raise ValueError(f"<!-- results: {name} --> names no block of RESULTS.md")
    sections = dict(re.findall(r"^### (.*)\n((?:(?!### ).*\n?)*)", block, re.MULTILINE))
    known = sections or dict(re.findall(r"^\| (.*?) \|(.*)$", block, re.MULTILINE))
    unknown = set(rows) - set(known)
    if unknown:
        raise ValueError(f"<!-- results: {name} --> has no {min(unknown)}")
    if sections and rows:
        how = dict.fromkeys(rows, "") | {rows[0]: f"\n{block.partition('### ')[0].rstrip()}\n"}
        return "\n".join(f"### {title}\n{how[title]}{sections[title].rstrip()}\n" for title in rows)
    lines = block.split("\n")
    heads = {line for pair in pairwise(lines) for line in pair if pair[1].startswith("| --- |")}
    left_out = {line for line in lines if line.startswith("| ") and line[2:].split(" |")[0] not in rows} - heads
    return "\n".join(line for line in lines if not rows or line not in left_out)
