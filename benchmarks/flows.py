"""Flow matching on Fashion-MNIST as ``benchmarks.papers`` measures: ``python -m benchmarks.flows --root <IDX files>``.

Each method trains for five minutes on one thread, two at a time: as many updates as a short run before it says, because
learning rates fall to the end of a run. Judged are fresh samples from noise; with a second stage also chains of its
buffer, as ``benchmarks.papers`` judges them.
"""

import argparse
import multiprocessing
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.papers import ONE_THREAD, Judge, buffer_chains, mean, rescaled, slug
from benchmarks.results import ROOT, add, machine, table, write_block
from ebm_exp.dataset import Domain
from ebm_exp.dataset.units import Levels
from ebm_exp.plots import sample_panels
from ebm_exp.run import load_run
from ebm_exp.run.directory import RunDirectory

SMALL, STATIC, STAY = (f"flow/fashion_mnist_{name}" for name in ("small", "static", "stay"))


class Stage(NamedTuple):
    """A training: minutes, and what is composed."""

    minutes: float
    experiment: str
    overrides: tuple[str, ...] = ()


METHODS = {
    "of time": (Stage(5, SMALL),),
    "without time": (Stage(5, STATIC),),
    "without time, second stage": (Stage(3.5, STATIC), Stage(1.5, STAY)),
    "of time, transport pairs": (Stage(5, SMALL, ("objective.pairs=transport",)),),
    "without time, random pairs": (Stage(5, STATIC, ("objective.pairs=random",)),),
    "of time, uniform times": (Stage(5, SMALL, ("noise.times=uniform",)),),
    "of time, U-Net": (Stage(5, SMALL, ("energy=unet",)),),
}
MATTER = list(METHODS)[:3]  # three seeds; one for the others
TRIAL = {SMALL: 60, STATIC: 60, STAY: 6}  # updates that say how many fit
N_SAMPLES, N_AS_PAPERS = 1000, 300


def train(stage: Stage, run_dir: Path, *overrides: str) -> None:
    """A stage from the command line, on one thread."""
    subprocess.run(
        [sys.executable, "train.py", f"experiment={stage.experiment}", *stage.overrides, *overrides,
         f"hydra.run.dir={run_dir}", "logger.mode=disabled", "evaluator=none", "optimized_metric=null",
         "trainer.image_every_steps=1000000"],
        cwd=ROOT, check=True, capture_output=True, text=True, env=ONE_THREAD,
    )  # fmt: skip


def finished(run_dir: Path) -> bool:
    """Whether a run is there, whole."""
    return RunDirectory(run_dir).summary().get("state") == "finished"


def n_updates(stage: Stage, run_dir: Path, *overrides: str) -> int:
    """How many updates fit into the stage's minutes, by a short run."""
    n = TRIAL[stage.experiment]
    if not finished(run_dir):
        every = ("trainer.log_every_steps=1", "schedule.warmup_steps=0")
        train(stage, run_dir, *overrides, f"trainer.max_steps={n}", *every)
    minutes = [row["time/minutes"] for row in RunDirectory(run_dir).metrics() if "time/minutes" in row]
    first = len(minutes) // 3  # not the warm-up
    return max(1, int(stage.minutes * (len(minutes) - 1 - first) / (minutes[-1] - minutes[first])))


def measure(method: str, seed: int, root: str, folder: Path) -> dict[str, Any]:
    """Train every stage, unless its finished run is there, and judge the last."""
    common = [f"seed={seed}", f"dataset.root={root}"]
    run_dir, updates, minutes = Path(), [], 0.0
    for i, stage in enumerate(METHODS[method]):
        begins = [*common, *([f"init_from={run_dir}"] if i else [])]
        run_dir = folder / f"{slug(method)}-{seed}-{i}"
        updates.append(n_updates(stage, run_dir.with_name(f"{run_dir.name}-trial"), *begins))
        if not finished(run_dir):
            train(stage, run_dir, *begins, f"trainer.max_steps={updates[-1]}")
        minutes += max(row.get("time/minutes", 0.0) for row in RunDirectory(run_dir).metrics())
    judge, run = Judge(root), load_run(run_dir)
    x = run.draw(N_SAMPLES).x
    return {
        "run_dir": str(run_dir),
        "updates": updates,
        "minutes": minutes,
        "parameters": run.directory.summary()["n_parameters"],
        "fresh": judge(run, x),
        "as_papers": judge(run, x[:N_AS_PAPERS]),
        "buffer": judge(run, buffer_chains(run)) if len(METHODS[method]) > 1 else None,
        "machine": machine(),
    }


def told(rows: Mapping[str, Any]) -> str:
    """The block of RESULTS.md."""
    lines = []
    for method in METHODS:
        seeds = [row for key, row in rows.items() if key.rpartition("/")[0] == method]
        if not seeds:
            continue
        updates = " + ".join(f"{sum(n) / len(n):,.0f}" for n in zip(*(row["updates"] for row in seeds), strict=True))
        columns = [("fresh", "frechet"), ("fresh", "classes"), ("fresh", "confidence"), ("as_papers", "frechet")]
        columns += [("buffer", "frechet")]
        measured = [mean([row[a][b] for row in seeds]) if seeds[0][a] else "" for a, b in columns]
        lines.append([method, f"{len(seeds)}", f"{seeds[0]['parameters']:,}", updates, *measured])
    header = ["energy", "seeds", "parameters", "updates", "Fréchet, fresh", "classes", "confidence"]
    header += [f"Fréchet, {N_AS_PAPERS} fresh", "Fréchet, chains of the buffer"]
    minutes = [row["minutes"] for row in rows.values()]
    protocol = (
        f"Fashion-MNIST, 5 minutes of training ({min(minutes):.1f} to {max(minutes):.1f}) on one thread, two runs at a "
        f"time; mean ± standard error over seeds. Judged: {N_SAMPLES:,} fresh samples from normal noise as the "
        f"experiment draws them, and the first {N_AS_PAPERS} of them, as many as the table of the two papers takes of "
        "chains; averaged weights; classifier, features and words as there. `python -m benchmarks.flows`, "
        + "; ".join(sorted({r["machine"] for r in rows.values()}))
    )
    return f"{protocol}.\n\n{table(header, lines)}"


def main() -> None:
    """Measure what was asked for, two runs at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs" / "flows")
    asked = parser.parse_args()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as two:
        jobs = {
            f"{method}/{seed}": two.submit(measure, method, seed, asked.root, asked.folder)
            for i, seed in enumerate(asked.seeds)
            for method in (METHODS if i == 0 else MATTER)
        }
        rows = {}
        for key, job in jobs.items():
            rows[key] = job.result()
            print(key, rows[key], flush=True)
    kept = {key: {k: v for k, v in row.items() if k != "run_dir"} for key, row in rows.items()}
    write_block("flows", told(add("flows", kept)))
    panels = {}
    for method in MATTER:
        run = load_run(rows[f"{method}/{asked.seeds[0]}"]["run_dir"])
        panels[method] = rescaled(run, run.draw(49).x)
    sample_panels(ROOT / "docs" / "flows_methods.png", panels, Levels(Domain(-1.0, 1.0, (1, 28, 28))))


if __name__ == "__main__":
    main()
