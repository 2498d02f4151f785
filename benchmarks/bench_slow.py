"""Time to quality, and two processes against one: ``make bench-slow``, which trains by the command line.

``python -m benchmarks.bench_slow [--root folder of Fashion-MNIST] [part …]``. A goal is reached at the first evaluation
that reaches it; its time is that of training and of the evaluations before, as the run counts it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.bench import here
from benchmarks.bench_page import write
from benchmarks.results import ROOT, add, read
from ebm_exp.metrics import MINUTES, SCORE, STEPS_PER_S

GOALS = {  # (overrides, score, at most)
    "two moons": (("experiment=plane/two_moons", "trainer.evaluate_every_steps=250"), SCORE("kl"), 0.02),
    "digits": (("experiment=digits", "trainer.evaluate_every_steps=250"), SCORE("frechet_pixels"), 0.4),
    "Fashion-MNIST flow": (
        ("experiment=flow/fashion_mnist_small", "trainer.evaluate_every_steps=200"),
        SCORE("frechet_classifier"),
        1.4,
    ),
}
RANKS = "two processes"
_RATES = {  # of each training: a small network, and one whose products fill a core
    "digits": ("dataset=digits", "trainer.max_steps=1500"),
    "flow/digits": ("experiment=flow/digits", "trainer.max_steps=200"),
}
_ROUNDS = 3
_QUIET = ("logger.mode=disabled", "trainer.image_every_steps=1000000", "trainer.checkpoint_every_steps=1000000")


def train(folder: Path, *overrides: str, launcher: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Train; the rows of its metrics."""
    command = [sys.executable, *launcher, "train.py", *overrides, *_QUIET, f"hydra.run.dir={folder}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [json.loads(row) for row in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def reach(name: str, root: str | None) -> dict[str, Any]:
    """When a training first reaches its goal."""
    overrides, score, goal = GOALS[name]
    where = (f"dataset.root={root}",) if root and "fashion" in overrides[0] else ()
    with tempfile.TemporaryDirectory() as folder:
        rows = train(Path(folder) / "run", *overrides, *where)
    seen = [row for row in rows if score in row]
    best = min(seen, key=lambda row: row[score])
    first = next((row for row in seen if row[score] <= goal), None)
    reached = best if first is None else first
    minutes = max(row[MINUTES] for row in rows if MINUTES in row and row["step"] <= reached["step"])
    return {"goal": f"{score} ≤ {goal}", "reached": first is not None, "score": reached[score], "step": reached["step"],
            "minutes": minutes}  # fmt: skip


def two_processes() -> dict[str, Any]:
    """Updates a second of two gloo processes with half of the batch each, and of one, on the same cores."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    found: dict[str, list[float]] = {}
    for _ in range(_ROUNDS):
        for name, overrides in _RATES.items():
            for who, launcher in (("one process", ()), ("two", torchrun)):
                with tempfile.TemporaryDirectory() as folder:
                    rows = train(Path(folder) / "run", *overrides, "evaluator=none", "device=cpu", launcher=launcher)
                rates = [row[STEPS_PER_S] for row in rows if STEPS_PER_S in row]
                found.setdefault(f"{name}, {who}", []).append(statistics.median(rates))
    return {"steps_per_s": {name: statistics.median(rates) for name, rates in found.items()}}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[*GOALS, RANKS], help="; ".join([*GOALS, RANKS]))
    parser.add_argument("--root", help="folder of Fashion-MNIST")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - {*GOALS, RANKS}:
        parser.error(f"there is no {min(unknown)}; choose of {', '.join(sorted({*GOALS, RANKS}))}")
    machine = here("cuda" if torch.cuda.is_available() else "cpu")
    for part in asked.parts:
        load = os.getloadavg()[0]
        row = two_processes() if part == RANKS else reach(part, asked.root)
        print(part, row, flush=True)
        add("bench_slow", {machine: read("bench_slow").get(machine, {}) | {part: row | {"load": load}}})
        write(read("bench"))
