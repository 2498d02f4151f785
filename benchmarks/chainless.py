"""Objectives without chains: ``python -m benchmarks.chainless [nce] [race] [binary] [--seeds 0]``.

nce: c of ``experiment=plane/nce`` against log Z by quadrature, and KL. race: CPU seconds of one thread until KL ≤ .05
on eight Gaussians, by the averaged weights, for energy discrepancy, NCE and PCD. binary: black and white digits at
equal numbers of energies, chains of Gibbs with gradients from noise on each model. Seconds are of training alone.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch

from benchmarks.building import built
from benchmarks.results import add, machine, table, write_block
from ebm_exp.config.build import Parts
from ebm_exp.evaluator import Model
from ebm_exp.evaluator.grid import log_z
from ebm_exp.guard.meter import Meter
from ebm_exp.random import Stream, generator
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.update import Update

N_POINTS = 20_000  # that KL is a mean over, drawn for this alone
N_CHAINS = 1000
EVERY, ENOUGH = 25, 0.05  # updates between two looks, and the KL that is raced to
N_ENERGIES = 60_000  # for each point of a batch of the digits
RACE = {
    "PCD": ("experiment=plane/eight_gaussians",),
    "energy discrepancy": ("experiment=plane/energy_discrepancy", "dataset=eight_gaussians"),
    "NCE": ("experiment=plane/nce", "dataset=eight_gaussians"),
}
BINARY = {  # energies of an update for each point: a chain's gradients count as one each
    "PCD": (("objective=pcd",), 43),
    "energy discrepancy": (("objective=energy_discrepancy_binary",), 33),
    "energy discrepancy, ε .02": (("objective=energy_discrepancy_binary", "objective.flip_probability=0.02"), 33),
    "energy discrepancy, ε .1": (("objective=energy_discrepancy_binary", "objective.flip_probability=0.1"), 33),
    "pseudo-likelihood": (("objective=pseudo_likelihood", "objective.n_bits=32"), 33),
    "ratio matching": (("objective=ratio_matching", "objective.n_bits=32"), 33),
}
KINDS = ("nce", "race", "binary")
HOW = (
    "The noise of `nce` is the fitted mixture. Energies of an update for each point of a batch of digits: "
    f"{BINARY['PCD'][1]} for PCD (40 flips), {BINARY['ratio matching'][1]} for the others. "
    f"Fréchet distance and MMD² of {N_CHAINS:,} fresh chains of 2,000 flips from noise."
)


class Trained(NamedTuple):
    """What a training leaves."""

    parts: Parts
    ema: EMA
    seconds: float


def train(n_updates: int, seed: int, *overrides: str, look: Callable[[int, Trained], bool] | None = None) -> Trained:
    """The updates of an experiment without its reports; ``look`` after every 25th may end it."""
    length = f"trainer.max_steps={n_updates}"
    config, parts, ex = built(
        *overrides, f"seed={seed}", "device=cpu", length, "evaluator=none", "optimized_metric=null"
    )
    trainer = config["trainer"]
    ema, seconds = EMA(ex.energy, ex.objective, trainer["ema_rate"]), 0.0
    update = Update(ex, ema, Meter(ex.engine.device), gradient_norm_clip=trainer["gradient_norm_clip"])
    for step in range(n_updates):
        began = time.process_time()
        update(step)
        seconds += time.process_time() - began
        if look is not None and (step + 1) % EVERY == 0:
            ema.refresh()
            if look(step + 1, Trained(parts, ema, seconds)):
                break
    ema.refresh()
    return Trained(parts, ema, seconds)


def kl(trained: Trained, seed: int, n: int = N_POINTS, n_cells: int = 1000) -> tuple[float, float, float]:
    """KL(data‖model) with its standard error, and log Z, in nats at T = 1."""
    dataset, energy = trained.parts["dataset"], trained.ema.energy
    x = dataset.sample(n, generator("cpu", "benchmark", dataset.name, seed))
    with torch.no_grad():
        ratio = dataset.log_prob(x).double() + energy(x).double()
    z = float(log_z(energy, dataset, 1.0, n_cells))
    return float(ratio.mean()) + z, float(ratio.std()) / math.sqrt(n), z


def of_nce(name: str, seed: int) -> dict[str, Any]:
    """c against log Z."""
    trained = train(4500, seed, "experiment=plane/nce", f"dataset={name}")
    value, se, z = kl(trained, seed)
    c = float(trained.ema.objective.log_z)  # type: ignore[arg-type]
    return {"kl": value, "kl_se": se, "log_z": z, "c": c, "seconds": trained.seconds, "machine": machine()}


def race(name: str, seed: int, n_updates: int) -> dict[str, Any]:
    """Seconds and updates until the KL is small enough; a schedule falls to 0 over all updates."""
    reached: dict[str, Any] = {"seconds": None, "updates": None, "kl": None}

    def look(step: int, trained: Trained) -> bool:
        value = kl(trained, seed, 5000, 200)[0]
        if value <= ENOUGH:
            reached.update(seconds=trained.seconds, updates=step, kl=kl(trained, seed)[0])
        return value <= ENOUGH

    train(n_updates, seed, *RACE[name], look=look)
    return reached | {"machine": machine()}


def binary(name: str, seed: int, n_energies: int = N_ENERGIES) -> dict[str, Any]:
    """Fréchet distance in pixels and MMD² of fresh chains, at a given number of energies for each point of a batch."""
    from ebm_exp.evaluator import MMD, Frechet

    overrides, cost = BINARY[name]
    trained = train(n_energies // cost, seed, "experiment=binary_digits", *overrides)
    dataset = trained.parts["dataset"]
    model = Model(trained.ema.energy, trained.parts["sampling"], Stream(seed), N_CHAINS)
    judges = (Frechet(dataset, n_samples=N_CHAINS, features="pixels"), MMD(dataset, n_samples=N_CHAINS))
    scores = {key: score.value for judge in judges for key, score in judge(model).items()}
    return scores | {"updates": n_energies // cost, "seconds": trained.seconds, "machine": machine()}


def told(rows: Mapping[str, Any]) -> str:
    """The block of RESULTS.md."""
    of = {kind: {key.split("/", 1)[1]: row for key, row in rows.items() if key.startswith(kind)} for kind in KINDS}
    protocol = "`python -m benchmarks.chainless`, " + "; ".join(sorted({row["machine"] for row in rows.values()}))
    pages = [f"{HOW} Seconds: CPU time of one thread, training alone. {protocol}."]
    if of["nce"]:
        lines = [
            [*key.split("/"), f"{r['kl']:.4f} ± {r['kl_se']:.4f}", f"{r['c']:.3f}", f"{r['log_z']:.3f}",
             f"{r['seconds']:.0f} s"] for key, r in of["nce"].items()
        ]  # fmt: skip
        pages.append(table(["`experiment=plane/nce`", "seed", "KL", "c", "log Z", "training"], lines))
    if of["race"]:
        lines = []
        for key, r in of["race"].items():
            done = r["seconds"] is not None
            lines.append([*key.split("/"), *([f"{r['seconds']:.1f} s", f"{r['updates']:,}"] if done else ["–", "–"])])
        header = ["eight Gaussians, to KL ≤ .05", "of updates", "seed", "CPU time", "updates"]
        pages.append(table(header, lines))
    if of["binary"]:
        lines = []
        for key, r in of["binary"].items():
            scores = [f"{r['frechet_pixels']:.3f}", f"{r['mmd2']:.4f}"]
            lines.append([*key.split("/"), *scores, f"{r['updates']:,}", f"{r['seconds']:.0f} s"])
        header = [f"`binary_digits`, {N_ENERGIES:,} energies a point", "seed", "Fréchet, pixels", "MMD²"]
        pages.append(table([*header, "updates", "training"], lines))
    return "\n\n".join(pages)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    jobs: list[tuple[str, Callable[[], dict[str, Any]]]] = []
    for seed in asked.seeds:
        if "race" in asked.kinds:
            jobs += [(f"race/{name}/{n}/{seed}", partial(race, name, seed, n)) for n in (1000, 2000) for name in RACE]
        if "nce" in asked.kinds:
            jobs += [(f"nce/{name}/{seed}", partial(of_nce, name, seed)) for name in ("two_moons", "eight_gaussians")]
        if "binary" in asked.kinds:
            jobs += [(f"binary/{name}/{seed}", partial(binary, name, seed)) for name in BINARY]
    for key, job in jobs:
        row = job()
        print(key, row, flush=True)
        write_block("chainless", told(add("chainless", {key: row})))
