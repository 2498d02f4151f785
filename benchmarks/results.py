"""From result files to the tables of RESULTS.md: a block is replaced as a whole, everything else stays as it is."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


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


def write_block(name: str, text: str, path: Path = ROOT / "RESULTS.md") -> None:
    """Replace the block ``name`` of a page; a new one goes to the end."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    page = path.read_text(encoding="utf-8")
    block = f"{begin}\n{text}\n{end}"
    if begin in page:
        page = page[: page.index(begin)] + block + page[page.index(end) + len(end) :]
    else:
        page = page.rstrip() + "\n\n" + block + "\n"
    path.write_text(page, encoding="utf-8")


def machine() -> str:
    """What the measurements were taken on."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{device}, {os.cpu_count()} cores, torch {torch.__version__.split('+')[0]}"
