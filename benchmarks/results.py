"""From result files to the tables of RESULTS.md: ``python -m benchmarks.results`` writes all of it anew.

The page is made of blocks, between ``<!-- begin papers -->`` and ``<!-- end papers -->``; each is what ``told`` of the
script of that name says of ``results/papers.json``. Only headings stand outside, and the list of them is a block too.
"""

import importlib
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "RESULTS.md"
BLOCK = re.compile(r"<!-- begin (?P<name>\w+) -->\n(?P<text>(?:(?!<!-- end ).)*?)\n?<!-- end (?P=name) -->", re.DOTALL)
CONTENTS = "contents"


def read(name: str) -> dict[str, Any]:
    """What ``results/<name>.json`` holds, empty when nothing was measured yet."""
    path = ROOT / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def add(name: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Put newly measured rows to those of ``results/<name>.json``, by their keys; returns all."""
    path = ROOT / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    merged = dict(sorted((read(name) | dict(rows)).items()))
    path.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
    return merged


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def blocks(page: str) -> dict[str, str]:
    """The blocks of a page, by name."""
    return {match["name"]: match["text"] for match in BLOCK.finditer(page)}


def contents(page: str) -> str:
    """The headings of a page below its title as a list of links, as GitHub and the site name them."""
    lines = []
    for level, title in re.findall(r"^##(#?) (.*)$", page, re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        lines.append(f"{'    ' * len(level)}- [{title}](#{anchor})")
    return "\n".join(lines)


def write_block(name: str, text: str, path: Path = RESULTS) -> None:
    """Replace the block ``name`` of a page, and its contents where it has such; a new block goes to the end."""
    page = path.read_text(encoding="utf-8")
    if name not in blocks(page):
        page = f"{page.rstrip()}\n\n{_block(name, '')}\n"
    page = _replaced(page, name, text)
    if CONTENTS in blocks(page):
        page = _replaced(page, CONTENTS, contents(page))
    path.write_text(page, encoding="utf-8")


def _replaced(page: str, name: str, text: str) -> str:
    return BLOCK.sub(lambda match: _block(name, text) if match["name"] == name else match[0], page)


def _block(name: str, text: str) -> str:
    return f"<!-- begin {name} -->\n{text}\n<!-- end {name} -->"


def machine() -> str:
    """What the measurements were taken on."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{device}, {os.cpu_count()} cores, torch {torch.__version__.split('+')[0]}"


def told(name: str) -> str:
    """What stands in the block of that name."""
    return str(importlib.import_module(f"benchmarks.{name}").told(read(name)))


if __name__ == "__main__":
    for block in blocks(RESULTS.read_text(encoding="utf-8")):
        if block != CONTENTS:
            write_block(block, told(block))
