"""What the files of a run hold, as far as they can be read: torn lines and missing files leave gaps."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ebm_exp.run.directory import RunDirectory
from ebm_exp.text import finite

Rows = list[dict[str, Any]]
MOST_BYTES = 2**27  # of the rows of a run


def rows(run: RunDirectory) -> Rows:
    """The rows of metrics.jsonl; none where the file may not be read: one run costs no other its place in a report."""
    try:
        return run.metrics(MOST_BYTES)
    except OSError:
        return []


def is_cut(run: RunDirectory) -> bool:
    """Whether there are more rows than a report reads."""
    return run.metrics_file.is_file() and run.metrics_file.stat().st_size > MOST_BYTES


def child(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A mapping within a mapping; empty where there is none."""
    inside = node.get(key)
    return inside if isinstance(inside, dict) else {}


def shape(of: Mapping[str, Any]) -> list[int]:
    """The shape of one sample, from a summary; empty where it does not say."""
    found = child(of, "data").get("event_shape")
    return [n for n in found if isinstance(n, int)] if isinstance(found, list) else []


def curve(found: Rows, metric: str, most: int = 200) -> list[tuple[float, float]]:
    """Steps and finite values of a metric, of so many points at most; the last is among them."""
    pairs = ((finite(row.get("step")), finite(row.get(metric))) for row in found if metric in row)
    points = [(step, value) for step, value in pairs if step is not None and value is not None]
    every = max(1, -(-len(points) // most))
    return points if every == 1 else [*points[:-1:every], points[-1]]


def is_compared(found: Rows, best: Mapping[str, Any]) -> bool:
    """Whether the best evaluation of a run was the best of several: of a single one nothing follows."""
    return len(curve(found, str(best.get("metric")))) > 1


def metrics_of(found: Iterable[Rows]) -> list[str]:
    """All metrics that rows hold, in the order they are met."""
    names = dict.fromkeys(name for rows in found for row in rows for name in row)
    return [name for name in names if name not in ("step", "time")]


def images(run: Path, kind: str = "step") -> list[tuple[int, Path]]:
    """Images of one kind with their steps, ``samples/step_00001000.png``."""
    return [(step, file) for each, step, file in _drawn(run) if each == kind]


def kinds(run: Path) -> list[str]:
    """The kinds of images that a run has, those that show samples first."""
    return sorted({kind for kind, _, _ in _drawn(run)}, key=lambda kind: (kind != "step", kind))


def _drawn(run: Path) -> list[tuple[str, int, Path]]:
    try:
        files = list((run / "samples").iterdir())
    except OSError:
        return []
    found = ((re.fullmatch(r"(.+)_(\d+)\.png", file.name), file) for file in files)
    return sorted((match[1], int(match[2]), file) for match, file in found if match)
