"""The two papers' methods on Fashion-MNIST: ``python -m benchmarks.papers --root <IDX files>``.

Each method trains for five minutes on one thread, two at a time. Judged are 1,000 chains of the replay buffer that go
on for ten steps, at equal time and at equal gradient evaluations, the fewest that a method of the
same seed made in its five minutes; and fresh chains from noise. One classifier, of images in [−1, 1], judges all.
"""

import argparse
import math
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.results import ROOT, add, machine, table, write_block
from ebm_exp.buffer import FromBuffer
from ebm_exp.dataset import Domain, Vision
from ebm_exp.dataset.units import Levels
from ebm_exp.evaluator import ClassShare, Frechet, Model
from ebm_exp.plots import sample_panels
from ebm_exp.run import LoadedRun, load_run
from ebm_exp.run.directory import RunDirectory
from ebm_exp.start import Uniform
from ebm_exp.types import Points

METHODS = {
    "PCD": ("pcd/fashion_mnist_small",),
    "IGEBM": ("du2019/fashion_mnist_small",),
    "improved CD": ("du2021/fashion_mnist_small",),
    "– no KL term": ("du2021/fashion_mnist_small", "objective.terms.kl.weight=0", "objective.terms.entropy.weight=0"),
    "– no entropy": ("du2021/fashion_mnist_small", "objective.terms.entropy.weight=0"),
    "– no augmentation": ("du2021/fashion_mnist_small", "augmentation=none"),
}
MINUTES, EVERY = 5, 20  # of training; updates between checkpoints
N_BUFFER, N_BUFFER_STEPS, N_FRESH, N_FRESH_STEPS = 1000, 10, 300, 200
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def slug(method: str) -> str:
    """A method's name as that of a folder."""
    return re.sub(r"[^a-z]+", "_", method.lower()).strip("_")


def train(method: str, seed: int, root: str, run_dir: Path) -> None:
    """Five minutes from the command line, on one thread."""
    experiment, *overrides = METHODS[method]
    subprocess.run(
        [sys.executable, "train.py", f"experiment={experiment}", *overrides, f"seed={seed}", f"dataset.root={root}",
         f"hydra.run.dir={run_dir}", "logger.mode=disabled", "evaluator=none", "optimized_metric=null",
         f"trainer.max_minutes={MINUTES}", "trainer.max_steps=1000000", f"trainer.checkpoint_every_steps={EVERY}",
         "trainer.keep_checkpoints=1000000", "trainer.image_every_steps=1000000"],
        cwd=ROOT, check=True, capture_output=True, text=True, env=ONE_THREAD,
    )  # fmt: skip


class Judge:
    """Fréchet distance and classes, by the classifier of the images in [−1, 1]."""

    def __init__(self, root: str) -> None:
        torch.set_num_threads(1)
        self.dataset = Vision("FashionMNIST", "fashion_mnist", torch.device("cpu"), root=root, download=False)

    def __call__(self, run: LoadedRun, x: Tensor) -> dict[str, float]:
        """Of samples ``[n, 1, 28, 28]`` in the run's domain."""
        x = rescaled(run, x)
        model = Model.of(run.energy, Points(x))
        scores = Frechet(self.dataset, len(x), "classifier")(model) | ClassShare(self.dataset, len(x))(model)
        share = [scores[f"class_share_{k}"].value for k in range(self.dataset.n_classes)]
        return {
            "frechet": scores["frechet_classifier"].value,
            "confidence": scores["class_confidence"].value,
            # exp of the entropy of the shares: as many classes, were they even
            "classes": math.exp(-sum(p * math.log(p) for p in share if p > 0)),
        }


def rescaled(run: LoadedRun, x: Tensor) -> Tensor:
    """Images of the run's domain in [−1, 1]."""
    domain = run.parts["dataset"].domain
    return (x - domain.centre) / domain.half_width


def buffer_chains(run: LoadedRun) -> Tensor:
    """Chains of the buffer, ten steps on."""
    start = FromBuffer(run.parts["buffer"])
    return run.draw(N_BUFFER, sampling=run.parts["sampling"].replace(start=start, n_steps=N_BUFFER_STEPS)).x


def fresh_chains(run: LoadedRun) -> Tensor:
    """Chains from uniform noise."""
    start = Uniform(run.parts["dataset"], run.energy.conditional)
    return run.draw(N_FRESH, sampling=run.parts["sampling"].replace(start=start, n_steps=N_FRESH_STEPS)).x


def at_the_end(method: str, seed: int, root: str, folder: Path) -> dict[str, Any]:
    """Train, unless a finished run is there, and judge what five minutes made of it."""
    run_dir = folder / f"{slug(method)}-{seed}"
    if RunDirectory(run_dir).summary().get("state") != "finished":
        train(method, seed, root, run_dir)
    judge, run = Judge(root), load_run(run_dir)
    per_update = int(run.config["trainer"]["batch_size"]) * int(run.config["sampler"]["n_steps"])
    return {
        "run_dir": str(run_dir),
        "updates": run.step,
        "gradients": run.step * per_update,
        "parameters": run.directory.summary()["n_parameters"],
        "fresh": judge(run, fresh_chains(run)),
        "buffer": judge(run, buffer_chains(run)),
        "gap": statistics.fmean([row["train/energy_gap"] for row in run.metrics() if "train/energy_gap" in row][-3:]),
        "machine": machine(),
    }


def at_equal_gradients(row: dict[str, Any], n: int, root: str) -> dict[str, float]:
    """Judge the last checkpoint that had made at most n gradient evaluations."""
    step = n * row["updates"] // row["gradients"]
    run = load_run(row["run_dir"], checkpoint=step if step == row["updates"] else step // EVERY * EVERY)
    return Judge(root)(run, buffer_chains(run)) | {"updates": float(run.step)}


def mean(values: list[float]) -> str:
    """Mean ± standard error; of one value, the value."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values) / math.sqrt(len(values)):.2f}"


def told(rows: Mapping[str, Any]) -> str:
    """The block of RESULTS.md."""
    lines = []
    for method in METHODS:
        seeds = [row for key, row in rows.items() if key.rpartition("/")[0] == method]
        if not seeds:
            continue
        columns = [("buffer", "frechet"), ("buffer", "classes"), ("buffer", "confidence"), ("fresh", "frechet")]
        columns += [("fresh", "classes"), ("equal", "frechet"), ("equal", "classes")]
        updates, gradients = (statistics.fmean(row[key] for row in seeds) for key in ("updates", "gradients"))
        counts = [f"{len(seeds)}", f"{seeds[0]['parameters']:,}", f"{updates:,.0f}", f"{gradients / 1000:,.0f}"]
        lines.append([method, *counts, *(mean([row[a][b] for row in seeds]) for a, b in columns)])
    header = ["method", "seeds", "parameters", "updates", "gradients (10³)", "Fréchet", "classes", "confidence"]
    header += ["Fréchet, fresh", "classes, fresh", "Fréchet, equal gradients", "classes, equal gradients"]
    protocol = (
        f"Fashion-MNIST, {MINUTES} minutes of training on one thread, two runs at a time; mean ± standard error over "
        f"seeds. Judged: {N_BUFFER:,} chains of the buffer, {N_BUFFER_STEPS} steps on; fresh: {N_FRESH} chains of "
        f"{N_FRESH_STEPS} steps from uniform noise; both by averaged weights. Fréchet: distance to the training split "
        "in the features of one classifier for all; classes: exp of the entropy of their shares, of 10; confidence: "
        "mean top probability. Gradients: evaluations of ∇E by training chains, per image. Equal gradients: the last "
        "checkpoint within the fewest of a seed's methods. `python -m benchmarks.papers`, "
        + "; ".join(sorted({r["machine"] for r in rows.values()}))
    )
    return f"{protocol}.\n\n{table(header, lines)}"


def images(rows: dict[str, Any], seed: int) -> None:
    """Chains of the buffers side by side: the methods, and what is left without a part of improved CD."""
    for name, shown in (("methods", list(METHODS)[:3]), ("ablations", list(METHODS)[2:])):
        panels, domain = {}, Domain(-1.0, 1.0, (1, 28, 28))
        for method in shown:
            run = load_run(rows[f"{method}/{seed}"]["run_dir"])
            panels[method] = rescaled(run, buffer_chains(run))[:49]
        sample_panels(ROOT / "docs" / f"papers_{name}.png", panels, Levels(domain))


def main() -> None:
    """Measure what was asked for, two runs at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs" / "papers")
    asked = parser.parse_args()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as two:
        jobs = {
            f"{method}/{seed}": two.submit(at_the_end, method, seed, asked.root, asked.folder)
            for seed in asked.seeds
            for method in METHODS
        }
        rows = {}
        for key, job in jobs.items():
            rows[key] = job.result()
            print(key, rows[key], flush=True)
        fewest = {
            seed: min(row["gradients"] for key, row in rows.items() if key.endswith(f"/{seed}")) for seed in asked.seeds
        }
        equal = {
            key: two.submit(at_equal_gradients, row, fewest[int(key.rpartition("/")[2])], asked.root)
            for key, row in rows.items()
        }
        for key, job in equal.items():
            rows[key]["equal"] = job.result()
    kept = {key: {k: v for k, v in row.items() if k != "run_dir"} for key, row in rows.items()}
    write_block("papers", told(add("papers", kept)))
    images(rows, asked.seeds[0])


if __name__ == "__main__":
    main()
