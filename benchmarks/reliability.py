"""Does it say when it breaks, and is nothing lost: ``python -m benchmarks.reliability blowups healthy chaos signals``.

Trainings that blow up, each in another way, and healthy ones under the guard; trainings that are killed at random
moments and go on; signals. Tables go to docs/reliability.md.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import ROOT, add, machine, table, write_block
from ebm_exp.run.directory import RunDirectory

PAGE = ROOT / "docs" / "reliability.md"
PLANE = ("dataset=two_moons", "energy=mlp", "evaluator=grid", "optimized_metric=eval/kl")
DIGITS = ("dataset=digits", "energy=mlp", "evaluator=frechet")
CONSTANT = "schedule=constant"
SMALL_BUFFER = ("buffer.size=64", "buffer.reinit_probability=0")
BLOWUPS: dict[str, tuple[str, ...]] = {
    "no regularisation": (*PLANE, "regularization=none", "sampler.step_size=0.01", "trainer.max_steps=4000", CONSTANT),
    "learning rate .2": (*PLANE, "optimizer.lr=0.2"),
    "λ .5": (*PLANE, "sampler.step_size=0.5"),
    "no regularisation, learning rate .01": (
        *(*DIGITS, "regularization=none", "optimizer.lr=0.01", "trainer.max_steps=4000", CONSTANT),
    ),
    "no noise": (*PLANE, "sampler.noise_std=0"),
    "buffer of 64, no restarts": (*DIGITS, *SMALL_BUFFER, "trainer.max_steps=3000"),
    "SGD, learning rate 10, no clip": (
        *(*PLANE, "optimizer=sgd", "optimizer.lr=10", "trainer.gradient_norm_clip=null"),
    ),
    "a NaN in the data": ("dataset=table", "energy=mlp", "evaluator=none", "optimized_metric=null"),
    "no clip, learning rate .2, β₂ .999": (
        *(*PLANE, "trainer.gradient_norm_clip=null", "optimizer.lr=0.2", "optimizer.betas=[0.9,0.999]"),
    ),
    "buffer of 64, no restarts, no noise, 100 steps of λ 20, learning rate .01": (
        *(*DIGITS, *SMALL_BUFFER, "sampler.noise_std=0", "sampler.n_steps=100", "sampler.step_size=20"),
        "optimizer.lr=0.01",
    ),
    "L2 1,000": (*PLANE, "regularization.energy_l2.weight=1000"),
    "λ 2,000": (*DIGITS, "sampler.step_size=2000"),
}
HEALTHY: dict[str, tuple[str, ...]] = {
    "digits": (),
    "plane/two_moons": ("experiment=plane/two_moons",),
    "plane/eight_gaussians": ("experiment=plane/eight_gaussians",),
    "flow/digits": ("experiment=flow/digits",),
    "du2021/digits_small": ("experiment=du2021/digits_small",),
    "plane/rings": ("experiment=plane/rings",),
    "plane/checkerboard": ("experiment=plane/checkerboard",),
    "digits, conditional": ("energy.conditional=true",),
    "digits, short_run": ("objective=short_run",),
    "pcd/fashion_mnist_small": ("experiment=pcd/fashion_mnist_small",),
}
THREE_SEEDS = tuple(HEALTHY)[:5]
TWO_THREADS = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def command(overrides: tuple[str, ...], run_dir: Path, *more: str) -> list[str]:
    """A training from the command line."""
    return [sys.executable, "train.py", *overrides, *more, f"hydra.run.dir={run_dir}", "logger.mode=disabled"]


def train(overrides: tuple[str, ...], run_dir: Path, *more: str) -> dict[str, Any]:
    """Its summary, with the exit code."""
    done = subprocess.run(command(overrides, run_dir, *more), cwd=ROOT, capture_output=True, text=True, env=TWO_THREADS)
    summary = RunDirectory(run_dir).summary()
    return summary | {"code": done.returncode, "said": (done.stderr.strip().splitlines() or [""])[-1]}


def of_data(folder: Path) -> tuple[str, ...]:
    """A table of points with one NaN."""
    g = torch.Generator().manual_seed(0)
    x = 0.3 * torch.randn(2000, 2, generator=g)
    lines = ["a,b", *(f"{a:.4f},{b:.4f}" for a, b in x.tolist())]
    lines[1000] = "nan,0.1"
    (folder / "points.csv").write_text("\n".join(lines) + "\n")
    return (f"dataset.path={folder / 'points.csv'}",)


def blowup(name: str, folder: Path) -> dict[str, Any]:
    """What the guard says of one, and what rolling back makes of it."""
    overrides = BLOWUPS[name] + (of_data(folder) if name == "a NaN in the data" else ())
    number = list(BLOWUPS).index(name)
    stopped = train(overrides, folder / f"{number}-stop")
    rolled = train(overrides, folder / f"{number}-rollback", "guard.on_divergence=rollback")
    return {
        "state": stopped.get("state", "refused"),
        "symptom": stopped.get("symptom"),
        "from": stopped.get("failed_step"),
        "said_at": stopped.get("step"),
        "text": stopped.get("reason") or stopped["said"],
        "rollback": rolled.get("state", "refused"),
        "attempts": len(rolled.get("attempts", [])),
        "machine": machine(),
    }


def healthy(name: str, seed: int, root: str, folder: Path) -> dict[str, Any]:
    """Whether a healthy training raises an alarm in 1,500 steps."""
    run_dir = folder / f"{re.sub(r'[^a-z0-9]+', '_', name)}-{seed}"
    more = (f"dataset.root={root}",) if "fashion" in name else ()
    quick = ("evaluator=none", "optimized_metric=null", "trainer.max_steps=1500", "trainer.image_every_steps=100000")
    ended = train(HEALTHY[name], run_dir, *more, *quick, f"seed={seed}", "guard.on_divergence=warn")
    rows = RunDirectory(run_dir).metrics()
    extremes = {
        key.removeprefix("guard/"): [min(values), max(values)]
        for key in sorted({key for row in rows for key in row if key.startswith("guard/")})
        if (values := [row[key] for row in rows if key in row])
    }
    alarms = [each["name"] for each in ended.get("symptoms", [])]
    return {"state": ended.get("state"), "alarms": alarms, "signals": extremes, "machine": machine()}


CHAOS: dict[str, tuple[str, ...]] = {
    "a learned step size": (
        "dataset=two_moons",
        "energy=mlp",
        "sampler=mala",
        "evaluator=grid",
        "optimized_metric=eval/kl",
    ),
    "spectral norm, conditional reservoir": (
        *("energy=conv", "energy.conditional=true", "regularization=spectral_norm", "buffer=reservoir"),
        *("evaluator=none", "optimized_metric=null", "sampler.n_steps=5", "trainer.batch_size=32"),
    ),
    "W&B offline": ("evaluator=none", "optimized_metric=null"),
    "evaluations, best checkpoint": ("evaluator=frechet", "evaluator.frechet.n_samples=100", "sampling.n_steps=20"),
    "a flow": (
        "experiment=flow/digits",
        "evaluator=none",
        "optimized_metric=null",
        "energy.channels=[8,16]",
        "energy.strides=[1,2]",
    ),
}
CHAOS_STEPS = (
    *("trainer.max_steps=120", "trainer.checkpoint_every_steps=20", "trainer.log_every_steps=10", "device=cpu"),
    *("trainer.evaluate_every_steps=40", "trainer.image_every_steps=60", "trainer.batch_size=32"),
)


def chaos(name: str, i: int, folder: Path, limit: float) -> dict[str, Any]:
    """One training, killed up to five times; compared with one that was not."""
    chance = random.Random(f"{name}/{i}")
    logger = f"logger.mode={'offline' if name == 'W&B offline' else 'disabled'}"
    common = [*CHAOS[name], *CHAOS_STEPS, f"seed={i}", logger, f"logger.dir={folder}"]
    whole, run = folder / "whole", folder / "run"

    def start(run_dir: Path, *more: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "train.py", *common, *more, f"hydra.run.dir={run_dir}"]
        pipe = subprocess.PIPE
        return subprocess.Popen(arguments, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, env=TWO_THREADS)

    first = start(whole)
    began = time.monotonic()
    _, err = first.communicate()
    if first.returncode:
        return {"error": err[-500:]}
    took, kills = time.monotonic() - began, 0
    for _ in range(5):
        process = start(run, "resume=auto")
        try:
            process.communicate(timeout=chance.uniform(0.0, min(took, limit)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        else:
            break
    process = start(run, "resume=auto")
    _, err = process.communicate()
    return {"kills": kills, "code": process.returncode, "error": err[-300:], "equal": same(whole, run)}


def same(a: Path, b: Path) -> bool:
    """Whether two runs have equal rows and equal last checkpoints, times aside."""
    runs = RunDirectory(a), RunDirectory(b)
    rows = [[{k: v for k, v in row.items() if not k.startswith("time/")} for row in run.metrics()] for run in runs]
    steps = [run.checkpoint_steps()[-1:] for run in runs]
    if rows[0] != rows[1] or steps[0] != steps[1] or not steps[0]:
        return False
    states = [torch.load(run.checkpoint(steps[0][0]), weights_only=True) for run in runs]
    return all(equal(states[0][part], states[1][part]) for part in ("parts", "ema", "best", "step"))


def equal(a: Any, b: Any) -> bool:
    """Whether two states are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGXCPU")
PHASES: dict[str, tuple[str, ...]] = {  # what is under way when the signal comes
    "training": ("evaluator=none", "optimized_metric=null", "trainer.image_every_steps=1000000"),
    "evaluation": ("trainer.evaluate_every_steps=5", "sampling.n_steps=20000", "trainer.image_every_steps=1000000"),
    "drawing": ("evaluator=none", "optimized_metric=null", "trainer.image_every_steps=5", "sampling.n_steps=20000"),
}
RECIPES = {"digits": (), "conv/fashion_mnist": ("experiment=conv/fashion_mnist",)}


def stopping(recipe: str, phase: str, name: str, root: str, folder: Path) -> dict[str, Any]:
    """Seconds from a signal to the end of the process, and whether a checkpoint of its step is there."""
    more = (f"dataset.root={root}",) if "fashion" in recipe else ()
    every = ("trainer.log_every_steps=1", "trainer.checkpoint_every_steps=1000000")
    run = folder / f"{recipe.replace('/', '_')}-{phase}-{name}"
    arguments = command((*RECIPES[recipe], *PHASES[phase]), run, *more, *every)
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=TWO_THREADS
    )
    wait_for(lambda: len(RunDirectory(run).metrics()) >= 5, process)
    time.sleep(2)  # into what is under way
    sent = time.monotonic()
    process.send_signal(getattr(signal, name))
    code = process.wait(120)
    seconds = time.monotonic() - sent
    summary, steps = RunDirectory(run).summary(), RunDirectory(run).checkpoint_steps()
    return {"code": code, "seconds": seconds, "state": summary["state"], "saved": summary["step"] in steps}


def wait_for(there: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Until something is there, as long as the process lives."""
    while not there():
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        time.sleep(0.02)


def report(rows: dict[str, Any]) -> None:
    """The blocks of docs/reliability.md."""
    blown = [
        [key.split("/", 1)[1], r["state"], f"{r['symptom'] or ''}", f"{r['from'] or ''}", f"{r['said_at'] or ''}",
         f"{r['rollback']}, {r['attempts']} attempts"]
        for key, r in rows.items() if key.startswith("blowups/")
    ]  # fmt: skip
    if blown:
        header = ["training", "end", "symptom", "from step", "said at step", "with guard.on_divergence=rollback"]
        write_block("blowups", table(header, blown), PAGE)
    fine = [
        [key.split("/", 1)[1], ", ".join(r["alarms"]) or "none",
         *(f"{r['signals'][name][0]:.3g} to {r['signals'][name][1]:.3g}" if name in r["signals"] else ""
           for name in ("variance_ratio", "gap", "spread", "distance", "moved", "unexplained"))]
        for key, r in rows.items() if key.startswith("healthy/")
    ]  # fmt: skip
    if fine:
        header = ["training, seed", "alarms", "variance ratio", "gap", "spread", "distance", "moved", "unexplained"]
        write_block("healthy", table(header, fine), PAGE)
    for kind, header in (("chaos", ["training", "kills", "bit-equal, with equal rows"]), ("signals", [])):
        found = {key.split("/", 1)[1]: r for key, r in rows.items() if key.startswith(f"{kind}/")}
        if kind == "chaos" and found:
            names = list(dict.fromkeys(key.rpartition("/")[0] for key in found))
            lines = []
            for name in names:
                runs = [r for key, r in found.items() if key.rpartition("/")[0] == name]
                kills, whole = sum(r.get("kills", 0) for r in runs), sum(r.get("equal", False) for r in runs)
                lines.append([name, f"{kills}", f"{whole} of {len(runs)}"])
            write_block(kind, table(header, lines), PAGE)
        elif kind == "signals" and found:
            names = list(dict.fromkeys(key.rpartition("/")[0] for key in found))
            lines = [
                [
                    name,
                    *(
                        f"{r['seconds']:.1f}" if r["saved"] else "lost"
                        for s in SIGNALS
                        if (r := found.get(f"{name}/{s}"))
                    ),
                ]
                for name in names
            ]
            write_block(kind, table(["recipe, in", *SIGNALS], lines), PAGE)


def main() -> None:
    """Measure what was asked for, two runs at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=["blowups", "healthy", "chaos", "signals"])
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
    report(add("reliability", rows))


if __name__ == "__main__":
    main()
