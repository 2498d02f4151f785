"""What recording saves: seconds an update of each engine, measured alternately in one process, on a GPU.

``python -m benchmarks.engines [--root …] [experiment …]``
"""

import argparse
import statistics
import time
from typing import Any

import torch

from benchmarks.building import built
from benchmarks.results import add, machine, table, write_block
from ebm_exp.guard.meter import Meter
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.update import Update

RECIPES: dict[str, tuple[str, ...]] = {
    "digits": ("dataset=digits",),
    "flow/digits": ("experiment=flow/digits",),
    "plane/rings": ("experiment=plane/rings",),
    "conv/fashion_mnist": ("experiment=conv/fashion_mnist",),
    "flow/fashion_mnist_small": ("experiment=flow/fashion_mnist_small",),
    "du2021/fashion_mnist_small": ("experiment=du2021/fashion_mnist_small",),
    "jem/fashion_mnist_small": ("experiment=jem/fashion_mnist_small",),
    "conv/cifar10, bf16": ("experiment=conv/cifar10", "engine.precision=bf16"),
    "flow/cifar10, bf16": ("experiment=flow/cifar10", "engine.precision=bf16"),
}
ROUNDS, SECONDS = 5, 0.6


def update(overrides: tuple[str, ...], device: str) -> Update:
    """One training's update, on data of the same shape where files are missing."""
    config, _, experiment = built(*overrides, f"device={device}", "stand_in=true")
    trainer = config["trainer"]
    ema = EMA(experiment.energy, experiment.objective, trainer["ema_rate"])
    meter = Meter(experiment.engine.device)
    return Update(experiment, ema, meter, gradient_norm_clip=trainer["gradient_norm_clip"])


def seconds(step: Update, first: int, n: int) -> float:
    """Of n updates."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    began = time.perf_counter()
    for i in range(first, first + n):
        step(i)
    wait()
    return time.perf_counter() - began


def measure(overrides: tuple[str, ...], device: str = "cuda") -> dict[str, Any]:
    """Milliseconds an update, the median of rounds of about half a second, engines taking turns."""
    engines = {name: update((*overrides, f"engine={name}"), device) for name in ("eager", "graphs")}
    for each in engines.values():
        seconds(each, 0, 5)
    counts = {name: max(2, round(SECONDS / (seconds(each, 5, 2) / 2))) for name, each in engines.items()}
    took: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(ROUNDS):
        for name, each in engines.items():
            took[name].append(1000 * seconds(each, 10 + turn * counts[name], counts[name]) / counts[name])
    return {name: statistics.median(values) for name, values in took.items()} | {"machine": machine()}


def write(rows: dict[str, Any]) -> None:
    """The block of RESULTS.md."""
    machines = sorted({row["machine"] for row in rows.values()})
    lines = [
        [name, f"{row['eager']:.1f}", f"{row['graphs']:.1f}", f"{row['eager'] / row['graphs']:.1f}"]
        for name, row in rows.items()
    ]
    page = table(["experiment", "eager, ms an update", "graphs, ms an update", "ratio"], lines)
    write_block("engines", f"`python -m benchmarks.engines`, {'; '.join(machines)}.\n\n{page}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=list(RECIPES))
    parser.add_argument("--root", help="folder of the data sets")
    asked = parser.parse_args()
    for name in asked.experiments:
        overrides = RECIPES[name] + ((f"dataset.root={asked.root}",) if asked.root and "fashion" in name else ())
        row = measure(overrides)
        print(name, row, flush=True)
        write(add("engines", {name: row}))
