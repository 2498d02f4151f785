"""The choices of a group, and what a choice says of itself; of the standard library alone, for docs/tables.py."""

import re
from pathlib import Path


def files(conf: Path, group: str) -> list[Path]:
    """A group's choices: those of its own folder, then those of sub-folders; what they share in ``shared/`` is none."""
    found = [file for file in (conf / group).rglob("*.yaml") if file.parent.name != "shared"]
    return sorted(found, key=lambda file: (len(file.parts), file))


def header(file: Path) -> str:
    """The first sentence of the comment that opens a file; empty when it opens with something else.

    ``# @package …`` is Hydra's. The comment ends at its first empty or indented line, or at the first key.
    """
    words: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not re.match(r"# \S", line):
            break
        words.append(line.removeprefix("# "))
    return re.split(r"(?<=[.?])\s+(?=[A-Z])", " ".join(words))[0].strip().rstrip(".")
