"""metrics.jsonl: one JSON object per logged step, flushed, so that a killed run loses no row."""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebm_exp.files import naming, opened, replace_text

_LONGEST = 2**20  # bytes of a row


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Write one line. JSON has no NaN: what is not finite is written as the text ``nan``, ``inf`` or ``-inf``."""
    plain = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain, allow_nan=False) + "\n")


def truncate_after(path: Path, step: int, n: int | None = None) -> None:
    """Drop what a run wrote after its last checkpoint: rows of later steps, and a torn last line.

    Args:
        path: the file, if it is there.
        step: of the checkpoint.
        n: of this step so many rows stay, the first ones; None: all.
    """
    if not path.exists():
        return
    kept, seen = [], 0
    for line, row in read_rows(path):
        seen += row["step"] == step
        if row["step"] < step or (row["step"] == step and (n is None or seen <= n)):
            kept.append(line + "\n")
    replace_text(path, "".join(kept))


def read_rows(file: Path, most: int | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The lines of a metrics file that are whole rows of a step, and what they say; none where there is no file.

    A line of more than a megabyte is none of ours, and nothing behind it is read.

    Args:
        file: the file.
        most: so many bytes of it are read; None: all.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    if not file.is_file():
        return found
    with opened(file, largest=sys.maxsize, follow=True) as content:
        while (data := content.readline(_LONGEST)) and len(data) < _LONGEST and content.tell() <= (most or sys.maxsize):
            line = data.decode("utf-8", errors="replace").rstrip("\r\n")
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                found.append((line, row))
    return found
