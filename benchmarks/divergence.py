"""Trainings that blow up, each in another way, healthy ones under the guard, and what the guard costs."""

import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import ROOT, machine
from ebm_exp.run.directory import RunDirectory

PLANE = ("dataset=two_moons", "energy=mlp", "evaluator=grid", "optimized_metric=eval/kl")
DIGITS = ("dataset=digits", "energy=mlp", "evaluator=frechet")
BLIND = ("evaluator=none", "optimized_metric=null")
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
    "a NaN in the data": ("dataset=table", "energy=mlp", *BLIND),
    "no clip, learning rate .2, β₂ .999": (
        *(*PLANE, "trainer.gradient_norm_clip=null", "optimizer.lr=0.2", "optimizer.betas=[0.9,0.999]"),
    ),
    "buffer of 64, no restarts, no noise, 100 steps of λ 20, learning rate .01": (
        *(*DIGITS, *SMALL_BUFFER, "sampler.noise_std=0", "sampler.n_steps=100", "sampler.step_size=20"),
        "optimizer.lr=0.01",
    ),
    "L2 1,000": (*PLANE, "regularization.energy_l2.weight=1000"),
    "λ 2,000": (*DIGITS, "sampler.step_size=2000"),
    "noise of NCE a hundred boxes wide": (
        *("experiment=plane/nce", "objective.start.uniform_share=0", "objective.start.n_components=1"),
        *("objective.start.variance_floor=10000", *BLIND),
    ),
    "learning rate 1e-12": (*DIGITS[:2], "optimizer.lr=1e-12", *BLIND),
    "a flow, learning rate 1": ("experiment=flow/digits", "optimizer.lr=1", *BLIND),
    "one row of 3,000 at 10⁶": ("dataset=table", "energy=mlp", *BLIND),
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
    "plane/nce": ("experiment=plane/nce",),
    "plane/energy_discrepancy": ("experiment=plane/energy_discrepancy",),
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


ODD_CELLS = {"a NaN in the data": "nan", "one row of 3,000 at 10⁶": "1000000"}


def of_data(folder: Path, name: str) -> tuple[str, ...]:
    """A table of points of which one has an odd cell."""
    g = torch.Generator().manual_seed(0)
    x = 0.3 * torch.randn(3000, 2, generator=g)
    lines = ["a,b", *(f"{a:.4f},{b:.4f}" for a, b in x.tolist())]
    lines[1000] = f"{ODD_CELLS[name]},0.1"
    file = folder / f"{ODD_CELLS[name]}.csv"
    file.write_text("\n".join(lines) + "\n")
    return (f"dataset.path={file}",)


def blowup(name: str, folder: Path) -> dict[str, Any]:
    """What the guard says of one, and what rolling back makes of it."""
    overrides = BLOWUPS[name] + (of_data(folder, name) if name in ODD_CELLS else ())
    number = list(BLOWUPS).index(name)
    stopped = train(overrides, folder / f"{number}-stop")
    rolled = train(overrides, folder / f"{number}-rollback", "guard.on_divergence=rollback")
    return {
        "state": stopped.get("state", "refused"),
        "symptom": stopped.get("symptom"),
        "from": stopped.get("failed_step"),
        "said_at": stopped.get("step"),
        "text": (stopped.get("reason") or stopped["said"]).replace(f"{folder}/", ""),
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


COST = {
    "digits": (),
    "conv/fashion_mnist": ("experiment=conv/fashion_mnist",),
    "flow/digits": ("experiment=flow/digits",),
}


def cost(name: str, root: str, seconds: float = 60.0) -> dict[str, Any]:
    """Time of a step with the guard beside one without it: blocks of ten steps take turns, medians over blocks."""
    from benchmarks.building import built
    from ebm_exp.guard import Guard, Meter
    from ebm_exp.trainer.ema import EMA
    from ebm_exp.trainer.update import Update

    more = (f"dataset.root={root}",) if "fashion" in name else ()
    _, _, experiment = built(*COST[name], *more, "evaluator=none", "optimized_metric=null")
    device = experiment.engine.device
    off = experiment._replace(guard=Guard(experiment.objective.rules, device, ignore=("all",)))
    meter, ema = Meter(device), EMA(experiment.energy, experiment.objective, 0.002)
    updates = [Update(each, ema, meter) for each in (experiment, off)]
    step, block = 0, experiment.guard.every_steps
    took: tuple[list[float], list[float]] = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(took[0]) < 10:
        for which in (0, 1) if len(took[0]) % 2 else (1, 0):
            if device.type == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(block):
                updates[which](step)
                step += 1
            meter.read()
            updates[which].experiment.guard.read()
            took[which].append((time.perf_counter() - began) / block)
    loss, looks = updates[0](step), []
    for _ in range(200):
        began = time.perf_counter()
        experiment.guard.look(1, experiment.objective.signals(loss))
        looks.append(time.perf_counter() - began)
    extra = [a - b for a, b in zip(*took, strict=True)]
    se = statistics.stdev(extra) / len(extra) ** 0.5
    return {
        "step_us": 1e6 * statistics.median(took[1]),
        "look_us": 1e6 * statistics.median(looks) / block,
        "guard_us": 1e6 * statistics.median(extra),
        "se_us": 1e6 * 1.25 * se,  # of a median
        "machine": machine(),
    }
