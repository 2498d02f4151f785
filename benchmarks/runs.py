"""One training as a user starts it, in a process of its own on one thread."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import ROOT


class Trained(NamedTuple):
    """What a training left."""

    seconds: float  # of the processor, evaluation and pictures included
    summary: dict[str, Any]
    scores: dict[str, float]  # of its last evaluation
    seen: dict[str, Any]  # what was looked at


def train(words: Sequence[str], look: Callable[[Path], dict[str, Any]] = lambda run: {}) -> Trained:
    """What ``python train.py`` with these words leaves; the run itself is deleted when it has been looked at."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "train.py", *words, "logger.mode=disabled", f"hydra.run.dir={run}"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(done.stdout[-400:], done.stderr[-2000:], sep="\n", flush=True)
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        seen = look(run)
    scores = {name.removeprefix("eval/"): value for name, value in rows[-1].items() if name.startswith("eval/")}
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Trained(round(spent, 1), summary, scores, seen)
