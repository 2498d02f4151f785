"""metrics.jsonl: one JSON object per logged step, flushed, so that a killed run loses no row."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebm_exp.files import replace_text


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Write one line. JSON has no NaN: what is not finite is written as the text ``nan``, ``inf`` or ``-inf``."""
    plain = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    with path.open("a", encoding="utf-8") as file:
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


def read_rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The lines of a metrics file that are whole rows of a step, and what they say; none where there is no file."""
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            found.append((line, row))
    return found
