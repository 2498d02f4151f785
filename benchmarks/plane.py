"""The experiments in the plane: ``python -m benchmarks.plane [set …] [--seeds 0 1 2]`` trains each and judges the end.

KL on 20,000 points that were drawn for this alone, by the averaged weights of the last step, log Z on 1,000² cells.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import ROOT, add, machine, table, write_block
from ebm_exp.evaluator import Model
from ebm_exp.evaluator.grid import log_z
from ebm_exp.evaluator.mmd import MMD
from ebm_exp.random import generator
from ebm_exp.run import load_run

SETS = ("two_moons", "eight_gaussians", "rings", "pinwheel", "checkerboard", "two_spirals", "swiss_roll")
N_POINTS, N_CHAINS = 20_000, 2_000


def measure(name: str, seed: int, run_dir: Path, *overrides: str) -> dict[str, Any]:
    """Train ``experiment=<name>`` from the command line and judge what it leaves."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "train.py", f"experiment=plane/{name}", f"seed={seed}", f"hydra.run.dir={run_dir}",
         "logger.mode=disabled", *overrides],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    run = load_run(run_dir)
    dataset = run.parts["dataset"]
    x = dataset.sample(N_POINTS, generator("cpu", "benchmark", name, seed))
    temperature = run.temperature
    with torch.no_grad():
        ratio = dataset.log_prob(x).double() + run.energy(x).double() / temperature
    kl = ratio + log_z(run.energy, dataset, temperature, 1000)
    judge = MMD(dataset, N_CHAINS, run.config["dataset"]["suggest"]["mmd_bandwidths"])
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {
        "kl": float(kl.mean()),
        "kl_se": float(kl.std()) / math.sqrt(N_POINTS),
        "mmd2": judge(Model.of(run.energy, run.draw(N_CHAINS, seed=1)))["mmd2"].value,
        "largest_gap": max(
            abs(row["train/energy_gap"]) for row in rows if row["step"] > 500 and "train/energy_gap" in row
        ),
        "steps": run.step,
        "training_s": max(row.get("time/minutes", 0.0) for row in rows) * 60,
        "command_s": seconds,
        "machine": machine(),
    }


def told(rows: Mapping[str, Any]) -> str:
    """The block of RESULTS.md."""
    lines = []
    for key in sorted(rows, key=lambda key: (SETS.index(key.split("/")[0]), key)):
        r = rows[key]
        kl = f"{r['kl']:.4f} ± {r['kl_se']:.4f}"
        measured = [kl, f"{r['mmd2']:.4f}", f"{r['largest_gap']:.2f}", f"{r['steps']:,}"]
        lines.append([*key.split("/"), *measured, f"{r['training_s']:.0f} s", f"{r['command_s']:.0f} s"])
    header = ["experiment", "seed", "KL", "MMD²", "largest gap", "updates", "training", "whole command"]
    protocol = (
        "KL(data‖model) in nats on 20,000 points drawn for this table alone, ± its standard error; MMD² of 2,000 fresh "
        "chains; largest |gap| of a logged mean after step 500. `python -m benchmarks.plane`, "
        + "; ".join(sorted({r["machine"] for r in rows.values()}))
    )
    return f"{protocol}.\n\n{table(header, lines)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    for name in asked.sets:
        for seed in asked.seeds:
            with tempfile.TemporaryDirectory() as folder:
                row = measure(name, seed, Path(folder) / "run")
            print(name, seed, row, flush=True)
            write_block("plane", told(add("plane", {f"{name}/{seed}": row})))
