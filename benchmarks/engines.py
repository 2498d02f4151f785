"""What recording saves: seconds an update of each engine, measured alternately in one process, on a GPU.

``python -m benchmarks.engines [--root …] [experiment …]``
"""

import argparse
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from benchmarks.building import built
from benchmarks.results import add, machine, table, write_block
from benchmarks.timing import alternate
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
SECONDS = 6.0
HOW = (
    "Plain PyTorch (`engine=eager`) beside steps of chains and losses recorded as CUDA graphs (`engine=graphs`, the "
    "default), taking turns in one process; medians. Where files are missing, data of the same shape stand in."
)


def update(overrides: tuple[str, ...], device: str) -> Update:
    """One training's update, on data of the same shape where files are missing."""
    config, _, experiment = built(*overrides, f"device={device}", "stand_in=true")
    trainer = config["trainer"]
    ema = EMA(experiment.energy, experiment.objective, trainer["ema_rate"])
    meter = Meter(experiment.engine.device)
    return Update(experiment, ema, meter, gradient_norm_clip=trainer["gradient_norm_clip"])


def steps(update: Update) -> Callable[[], object]:
    """One update after the other."""
    step = count()
    return lambda: update(next(step))


def measure(overrides: tuple[str, ...], device: str = "cuda") -> dict[str, Any]:
    """Milliseconds an update, engines taking turns."""
    engines = {name: update((*overrides, f"engine={name}"), device) for name in ("eager", "graphs")}
    works = {name: steps(each) for name, each in engines.items()}
    return alternate(works, SECONDS) | {"machine": machine()}


def told(rows: Mapping[str, Any]) -> str:
    """The block of RESULTS.md."""
    machines = sorted({row["machine"] for row in rows.values()})
    lines = [
        [name, f"{row['eager']:.1f}", f"{row['graphs']:.1f}", f"{row['eager'] / row['graphs']:.1f}"]
        for name, row in rows.items()
    ]
    page = table(["experiment", "eager, ms an update", "graphs, ms an update", "ratio"], lines)
    return f"{HOW} `python -m benchmarks.engines`, {'; '.join(machines)}.\n\n{page}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=list(RECIPES))
    parser.add_argument("--root", help="folder of the data sets")
    asked = parser.parse_args()
    for name in asked.experiments:
        overrides = RECIPES[name] + ((f"dataset.root={asked.root}",) if asked.root and "fashion" in name else ())
        row = measure(overrides)
        print(name, row, flush=True)
        write_block("engines", told(add("engines", {name: row})))
