"""Does it say when it breaks, is nothing lost: ``python -m benchmarks.reliability blowups healthy chaos signals cost``.

Trainings that blow up, each in another way, and healthy ones under the guard; trainings that are killed at random
moments and go on; signals. Tables go to docs/reliability.md.
"""

import argparse
import json
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.divergence import BLOWUPS, COST, HEALTHY, THREE_SEEDS, blowup, cost, healthy
from benchmarks.results import ROOT, add, table, write_block
from benchmarks.stopping import CHAOS, PHASES, RECIPES, SIGNALS, chaos, stopping

PAGE = ROOT / "docs" / "reliability.md"


SHOWN = ("variance", "gap", "spread", "contrast", "outside", "leap", "moved", "unexplained")  # signals of healthy runs


def blown(rows: dict[str, Any]) -> str:
    """What was said of each blow-up, and what rolling back made of it."""
    lines = [
        [name, r["state"], *(f"{r[key] or ''}" for key in ("symptom", "from", "said_at")),
         f"{r['rollback']}, {r['attempts']} attempts"]
        for name, r in rows.items()
    ]  # fmt: skip
    return table(
        ["training", "end", "symptom", "from step", "said at step", "with guard.on_divergence=rollback"], lines
    )


def fine(rows: dict[str, Any]) -> str:
    """Alarms and extremes of the signals."""

    def extremes(signals: dict[str, list[float]], name: str) -> str:
        return "{:.3g} to {:.3g}".format(*signals[name]) if name in signals else ""

    lines = [
        [name, ", ".join(r["alarms"]) or "none", *(extremes(r["signals"], each) for each in SHOWN)]
        for name, r in rows.items()
    ]
    return table(["training, seed", "alarms", *SHOWN], lines)


def killed(rows: dict[str, Any]) -> str:
    """How many went on exactly."""
    lines = []
    for name in dict.fromkeys(key.rpartition("/")[0] for key in rows):
        runs = [r for key, r in rows.items() if key.rpartition("/")[0] == name]
        kills, whole = sum(r.get("kills", 0) for r in runs), sum(r.get("equal", False) for r in runs)
        lines.append([name, f"{kills}", f"{whole} of {len(runs)}"])
    return table(["training", "kills", "bit-equal, with equal rows"], lines)


def signalled(rows: dict[str, Any]) -> str:
    """Seconds to the end."""

    def told(r: dict[str, Any]) -> str:
        return f"{r['seconds']:.1f}" if r["saved"] else "lost"

    names = dict.fromkeys(key.rpartition("/")[0] for key in rows)
    return table(["recipe, in", *SIGNALS], [[name, *(told(rows[f"{name}/{s}"]) for s in SIGNALS)] for name in names])


def costs(rows: dict[str, Any]) -> str:
    """Of a step."""
    lines = [
        [name, r["machine"], f"{r['step_us']:,.0f}", f"{r['look_us']:.0f}", f"{100 * r['look_us'] / r['step_us']:.2f} %",
         f"{r['guard_us']:.0f} ± {r['se_us']:.0f}"]
        for name, r in rows.items()
    ]  # fmt: skip
    return table(
        ["recipe", "on", "µs of a step", "µs of looks, per step", "share", "µs, steps with and without in turns"], lines
    )


BLOCKS = {"blowups": blown, "healthy": fine, "chaos": killed, "signals": signalled, "cost": costs}


def main() -> None:
    """Measure what was asked for, two runs at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=list(BLOCKS))
    parser.add_argument("--root", default="data")
    parser.add_argument("--runs", type=int, default=10, help="of each recipe of chaos")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as two:
        folder = Path(temporary)
        jobs: dict[str, Any] = {}
        if "blowups" in asked.what:
            jobs |= {f"blowups/{name}": two.submit(blowup, name, folder) for name in BLOWUPS}
        if "healthy" in asked.what:
            for name in HEALTHY:
                for seed in range(3 if name in THREE_SEEDS else 1):
                    jobs[f"healthy/{name}, {seed}"] = two.submit(healthy, name, seed, asked.root, folder)
        if "chaos" in asked.what:
            for i in range(asked.runs):
                for name in CHAOS:
                    own = folder / re.sub(r"\W+", "_", f"{name}-{i}")
                    own.mkdir()
                    jobs[f"chaos/{name}/{i}"] = two.submit(chaos, name, i, own, 30.0)
        if "signals" in asked.what:
            for recipe in RECIPES:
                for phase in PHASES:
                    for name in SIGNALS:
                        key = f"signals/{recipe}, {phase}/{name}"
                        jobs[key] = two.submit(stopping, recipe, phase, name, asked.root, folder)
        rows = {}
        for key, job in jobs.items():
            rows[key] = job.result()
            print(key, json.dumps(rows[key]), flush=True)
    if "cost" in asked.what:  # timed: alone
        rows |= {f"cost/{name}": cost(name, asked.root) for name in COST}
    merged = add("reliability", rows)
    for kind, made in BLOCKS.items():
        of_kind = {key.split("/", 1)[1]: row for key, row in merged.items() if key.startswith(f"{kind}/")}
        if of_kind:
            write_block(kind, made(of_kind), PAGE)


if __name__ == "__main__":
    main()
