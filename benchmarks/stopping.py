"""Trainings that are killed at random moments and go on, signals that stop them, and W&B that fails beside them."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.divergence import TWO_THREADS, command
from benchmarks.results import ROOT
from ebm_exp.run.directory import RunDirectory
from tests.logger.server import Server
from tests.warm import leet_inspect

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
    """Seconds from a signal to the checkpoint of its step, null if there is none, and to the end of the process."""
    more = (f"dataset.root={root}",) if "fashion" in recipe else ()
    every = ("trainer.log_every_steps=1", "trainer.checkpoint_every_steps=1000000")
    run = folder / f"{recipe.replace('/', '_')}-{phase}-{name}"
    arguments = command((*RECIPES[recipe], *PHASES[phase]), run, *more, *every)
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=TWO_THREADS
    )
    wait_for(lambda: len(RunDirectory(run).metrics()) >= 5, process)
    time.sleep(2)  # into what is under way
    sent = time.time()
    process.send_signal(getattr(signal, name))
    code = process.wait(120)
    ended, directory = time.time(), RunDirectory(run)
    summary = directory.summary()
    file = directory.checkpoint(summary["step"])
    saved = file.stat().st_mtime - sent if file.is_file() else None
    return {"code": code, "checkpoint": saved, "end": ended - sent, "state": summary["state"]}


def wait_for(there: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Until something is there, as long as the process lives."""
    while not there():
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        time.sleep(0.02)


WAYS = ("disabled", "offline", "healthy", "silent", "error", "slow", "killed")  # of W&B, beside a training


def beside_wandb(way: str, folder: Path) -> dict[str, Any]:
    """A training of the digits with W&B online against a server that fails after the first rows, or its helper killed.

    Returns:
        Seconds of training and from there to the end of the process; rows of the run and in W&B's own file.
    """
    run = folder / f"{way}-{len(list(folder.iterdir()))}"
    server = Server("healthy" if way not in ("silent", "error", "slow") else way)
    environment = TWO_THREADS | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "k" * 40}
    mode = way if way in ("disabled", "offline") else "online"
    quick = ("evaluator=none", "optimized_metric=null", "trainer.max_steps=2500", "trainer.log_every_steps=25")
    arguments = [sys.executable, "train.py", *quick, f"hydra.run.dir={run}", f"logger.mode={mode}"]
    with (folder / "out.txt").open("w") as out:
        process = subprocess.Popen(
            [*arguments, f"logger.dir={run}-logger"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
        if way == "killed":
            wait_for(lambda: len(RunDirectory(run).metrics()) >= 5, process)
            subprocess.run(["pkill", "-9", "-P", f"{process.pid}", "wandb-core"], check=True)
        code = process.wait(300)
    ended, directory = time.time(), RunDirectory(run)
    server.close()
    held = [leet_inspect(file) for file in Path(f"{run}-logger").glob("wandb/*run-*/*.wandb")]
    lines = (folder / "out.txt").read_text().splitlines()
    return {
        "code": code,
        "training": 60 * directory.summary()["minutes"],
        "end": ended - directory.summary_file.stat().st_mtime,
        "rows": len(directory.metrics()),
        "rows_wandb": sum(json.loads(line)["type"] == "history" for text in held for line in text.splitlines()),
        "said": [line.partition("WARNING] - ")[2] for line in lines if "WARNING" in line],
        "to_sync": any("wandb sync" in line for line in lines),
    }
