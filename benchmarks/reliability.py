"""Does it say when it breaks: ``python -m benchmarks.reliability blowups healthy chaos signals cost wandb``.

Trainings that blow up, each in another way, and healthy ones under the guard; trainings that are killed at random
moments and go on; signals. Tables go to docs/reliability.md.
"""

import argparse
import json
import re
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.divergence import BLOWUPS, COST, HEALTHY, THREE_SEEDS, blowup, cost, healthy
from benchmarks.results import ROOT, add, table, write_block
from benchmarks.stopping import CHAOS, PHASES, RECIPES, SIGNALS, WAYS, beside_wandb, chaos, stopping

PAGE = ROOT / "docs" / "reliability.md"


SHOWN = (
    "variance",
    "gap",
    "spread",
    "contrast",
    "outside",
    "leap",
    "moved",
    "unexplained",
    "travel",
)  # signals of healthy runs


def blown(rows: dict[str, Any]) -> str:
    """What was said of each blow-up, and what rolling back made of it."""
    lines = [
        [name, r["state"], *("" if r[key] is None else f"{r[key]}" for key in ("symptom", "from", "said_at")),
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
    """Seconds to the checkpoint, and to the end of the process."""

    def told(r: dict[str, Any]) -> str:
        return "lost" if r["checkpoint"] is None else f"{max(r['checkpoint'], 0):.2f}, {r['end']:.1f}"

    names = dict.fromkeys(key.rpartition("/")[0] for key in rows)
    return table(["recipe, in", *SIGNALS], [[name, *(told(rows[f"{name}/{s}"]) for s in SIGNALS)] for name in names])


def costs(rows: dict[str, Any]) -> str:
    """Of a step."""
    lines = [
        [name, r["machine"], f"{r['step_us']:,.0f}", f"{r['look_us']:.0f}",
         f"{100 * r['look_us'] / r['step_us']:.2f} %", f"{r['guard_us']:.0f} ± {r['se_us']:.0f}"]
        for name, r in rows.items()
    ]  # fmt: skip
    return table(
        ["recipe", "on", "µs of a step", "µs of looks, per step", "share", "µs, steps with and without in turns"], lines
    )


def logged(rows: dict[str, Any]) -> str:
    """Medians over repetitions; times as ratios to those without W&B."""
    own = {way: [r for key, r in rows.items() if key.partition("/")[0] == way] for way in WAYS}

    def median(way: str, what: str) -> float:
        return statistics.median(r[what] for r in own[way])

    lines = []
    for way, runs in own.items():
        said = next((text.split(": ", 1)[-1] for r in runs for text in r["said"]), "")
        slower = median(way, "training") / median("disabled", "training")
        whole = min(r["rows"] for r in runs), min(r["rows_wandb"] for r in runs)
        lines.append(
            [way, ", ".join(sorted({f"{r['code']}" for r in runs})), f"{slower:.3f}", f"{median(way, 'end'):.1f}",
             f"{whole[0]} / {whole[1]}", said, "yes" if all(r["to_sync"] for r in runs) else "no"]
        )  # fmt: skip
    header = ["W&B", "exit code", "time of training", "seconds to the end", "rows of the run / in W&B's file"]
    return table([*header, "said", "what to sync is told"], lines)


BLOCKS = {"blowups": blown, "healthy": fine, "chaos": killed, "signals": signalled, "cost": costs, "wandb": logged}


def main() -> None:
    """Measure what was asked for, two runs at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=list(BLOCKS))
    parser.add_argument("--root", default="data")
    parser.add_argument("--runs", type=int, default=10, help="of each recipe of chaos")
    parser.add_argument("--only", default="", help="of chaos and blowups, those whose name holds this")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as two:
        folder = Path(temporary)
        jobs: dict[str, Any] = {}
        if "blowups" in asked.what:
            jobs |= {f"blowups/{name}": two.submit(blowup, name, folder) for name in BLOWUPS if asked.only in name}
        if "healthy" in asked.what:
            for name in HEALTHY:
                for seed in range(3 if name in THREE_SEEDS else 1):
                    jobs[f"healthy/{name}, {seed}"] = two.submit(healthy, name, seed, asked.root, folder)
        if "chaos" in asked.what:
            for i in range(asked.runs):
                for name in (name for name in CHAOS if asked.only in name):
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
    # Timed: alone.
    if "wandb" in asked.what:
        for i in range(3):
            with tempfile.TemporaryDirectory() as temporary:
                for way in WAYS:
                    rows[f"wandb/{way}/{i}"] = beside_wandb(way, Path(temporary))
                    print(way, json.dumps(rows[f"wandb/{way}/{i}"]), flush=True)
    if "cost" in asked.what:
        rows |= {f"cost/{name}": cost(name, asked.root) for name in COST}
    merged = add("reliability", rows)
    for kind, made in BLOCKS.items():
        of_kind = {key.split("/", 1)[1]: row for key, row in merged.items() if key.startswith(f"{kind}/")}
        if of_kind:
            write_block(kind, made(of_kind), PAGE)


if __name__ == "__main__":
    main()
