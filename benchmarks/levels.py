"""Energies over noise levels where the truth is known, for RESULTS.md: ``python -m benchmarks.levels [<case> …]``.

Each case is trained by one command in a process of its own on one thread; results go to ``results/levels.json``, by
case, normaliser and seed. Those whose names begin as given are trained anew; ``all`` trains what is not there yet,
first seeds first. Without arguments the block is written anew from there.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch

from benchmarks.consistency import compare_draws
from benchmarks.results import add, machine, read, table, write_block
from benchmarks.runs import train
from ebm_exp import load_run
from ebm_exp.dataset.mixture import Mixture
from ebm_exp.text import number, with_error

N_LEVELS = 8
ALONE = ("trainer.image_every_steps=1000000", "trainer.evaluate_every_steps=1000000")
AT_MIXTURES = ("evaluator=density", "optimized_metric=eval/log_p_noised")
AT_SETS = ("evaluator=[density,ais]", "evaluator.ais.path=levels", "optimized_metric=eval/log_p_noised")
LONG = "noise.times=log_normal trainer.batch_size=512 trainer.ema_rate=0.002"
IN_16 = "dataset=mixture dataset.n_dims=16 energy.widths=[256,256,256] energy.input_scale=1"
FORTY = "dataset.n_modes=40 dataset.spread=40 dataset.stds=1 dataset.standardize=true"
SHELLS = (
    "dataset=mixture dataset.n_dims=1000 dataset.means=[[],[]] dataset.stds=[1,4] dataset.n_train=20000 "
    "energy=radial optimizer=adam optimizer.lr=2e-3 trainer.max_steps=4000"
)
TWO = (
    "dataset=mixture dataset.n_dims=128 dataset.means=[[-5],[5]] dataset.stds=1 dataset.weights=[.2,.8] "
    "dataset.n_train=1000000 energy.widths=[256,256,256] energy.input_scale=1 trainer.max_steps=4000"
)
SET = "experiment=levels/plane dataset="


class Case(NamedTuple):
    """What is trained, with which normalisers, and how often."""

    words: str
    normalisers: tuple[str, ...] = ("time_score", "none")
    n_seeds: int = 1
    of_modes: bool = True


CASES = {
    "flow, 8 modes in the plane": Case("experiment=levels/plane dataset=mixture"),
    "flow, 8 modes in 16 dimensions": Case(f"experiment=levels/plane {IN_16} trainer.max_steps=4000"),
    "dsm, 8 modes in the plane": Case(
        f"experiment=dsm/plane dataset=mixture dataset.n_train=1000000 energy.widths=[192,192,192] {LONG}",
        ("time_score",),
        3,
    ),
    "dsm, 8 modes in 16 dimensions": Case(
        f"experiment=dsm/plane {IN_16} {LONG} trainer.max_steps=8000", ("time_score",), 3
    ),
    "dsm, 40 modes in 16 dimensions": Case(f"experiment=dsm/plane {IN_16} {FORTY} trainer.max_steps=6000"),
    "dsm, two shells in 1,000 dimensions": Case(f"experiment=dsm/plane {SHELLS}"),
    "dsm, two modes in 128 dimensions": Case(f"experiment=dsm/plane {TWO}"),
    "flow, eight Gaussians": Case(f"{SET}eight_gaussians", ("time_score", "levels"), 3, of_modes=False),
    "flow, rings": Case(f"{SET}rings", ("time_score", "levels"), 3, of_modes=False),
}
HOW = (
    "Log p in one pass of an energy of noise levels. KL: from the exact density of the least noise to the model's, in "
    "nats; ESS: effective share of exact points weighed by model over truth, of the worst of eight levels; score: root "
    "of the relative mean square error, of the worst level whose noise is at least half as wide as the narrowest mode, "
    "and of the least noise; log Z: farthest from 0 of eight levels, by quadrature in the plane; modes: largest error "
    "of a mode's weight, with the smallest ESS of a mode. Where there are several seeds, their mean. "
    "`python train.py <command>`, one thread; seconds are those of the whole command, evaluation included. "
    "`python -m benchmarks.levels`, {machine}."
)
SETS = (
    "log ∫ exp(−Ẽ) by quadrature at eight levels, the box widened by six of its noise; 0 is right. AIS: along the "
    "levels at the least one, from both sides. KL of cells: 20,000 points of the flow in 200 steps and of 1,000 steps "
    "of MALA from held-out points, each against the density of one pass, in 64 cells of equal mass."
)


def look(run: Path) -> dict[str, Any]:
    """Noise of each level beside the narrowest mode of a mixture; draws of the flow and of chains in other sets."""
    torch.set_num_threads(1)
    loaded = load_run(run)
    noise, data = loaded.parts["noise"], loaded.parts["dataset"]
    if not isinstance(data, Mixture):
        return {"kl_of_cells": compare_draws(loaded)}
    widths = [float(noise.width(t) / noise.share(t)) for t in noise.levels(N_LEVELS)]
    return {"noise_of_modes": [width / float(data.stds.min()) for width in widths]}


def measure(case: Case, normaliser: str, seed: int) -> dict[str, Any]:
    """What one command leaves."""
    command = f"{case.words} normaliser={normaliser}"
    words = [*command.split(), f"seed={seed}", *(AT_MIXTURES if case.of_modes else AT_SETS), *ALONE]
    seconds, summary, scores, seen = train(words, look)
    alarms = [each["name"] for each in summary.get("symptoms", [])]
    return {
        "machine": machine(),
        "command": command,
        "seed": seed,
        "seconds": seconds,
        "steps": summary["step"],
        "state": summary["state"],
        "alarms": alarms,
        "scores": scores,
    } | seen


def _of_levels(entry: Mapping[str, Any], name: str) -> list[float]:
    return [entry["scores"][f"log_p_{name}_{k}"] for k in range(1, N_LEVELS + 1)]


def _score_error(entry: Mapping[str, Any]) -> float:
    """The largest of the levels whose noise is at least half as wide as the narrowest mode."""
    errors = zip(entry["noise_of_modes"], _of_levels(entry, "score_error"), strict=True)
    return max(error for width, error in errors if width >= 0.5)


def _of_modes(name: str, seeds: list[Mapping[str, Any]]) -> tuple[str, ...]:
    scores = [entry["scores"] for entry in seeds]

    def mean(*values: float) -> str:
        return f"{fmean(values):.3g}"

    log_z = fmean(max(map(abs, _of_levels(entry, "log_z"))) for entry in seeds)
    weights = {what: mean(*(each[f"log_p_weight_{what}"] for each in scores)) for what in ("error", "ess")}
    errors, last = map(_score_error, seeds), (_of_levels(entry, "score_error")[-1] for entry in seeds)
    return (
        name,
        str(len(seeds)),
        f"{seeds[0]['steps']:,}",
        f"{max(entry['seconds'] for entry in seeds):.0f}",
        mean(*(_of_levels(entry, "kl")[-1] for entry in seeds)),
        mean(*(min(_of_levels(entry, "ess")) for entry in seeds)),
        f"{100 * fmean(errors):.1f} %, {100 * fmean(last):.0f} %",
        f"{log_z:.3g}",
        f"{weights['error']} ({weights['ess']})",
        f"`{seeds[0]['command']}`",
    )


def _of_set(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    scores = entry["scores"]
    ways = (f"ais_levels_log_z{way}" for way in ("", "_reverse"))
    return (
        f"{name}, seed {entry['seed']}",
        f"{entry['seconds']:.0f}",
        *(f"{value:.3f}" for value in _of_levels(entry, "log_z")),
        ", ".join(with_error(scores[way], scores[f"{way}_se"]) for way in ways),
        ", ".join(number(value) for value in entry["kl_of_cells"].values()),
    )


def _entries(of_modes: bool, entries: Mapping[str, Any]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    for name, case in CASES.items():
        for normaliser in case.normalisers if case.of_modes is of_modes else ():
            title = f"{name}, {normaliser}"
            seeds = [entry for key, entry in entries.items() if key.rpartition(", ")[0] == title]
            if seeds:
                yield title, seeds


def told(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The block of RESULTS.md."""
    mixtures = [_of_modes(title, seeds) for title, seeds in _entries(True, entries)]
    sets = [_of_set(title, entry) for title, seeds in _entries(False, entries) for entry in seeds]
    first = ("mixture", "seeds", "updates", "CPU seconds", "KL", "ESS", "score", "log Z", "modes (ESS)", "command")
    levels = [str(k) for k in range(1, N_LEVELS + 1)]
    second = ("set", "CPU seconds", *levels, "AIS, and reverse", "KL of cells, flow, MALA")
    lines = [HOW.format(**next(iter(entries.values()))), "", table(first, mixtures)]
    return "\n".join([*lines, "", SETS, "", table(second, sets)])


def main(names: list[str]) -> None:
    """Train what is named, or what is missing, and write the block."""
    entries = read("levels")
    for seed in range(max(case.n_seeds for case in CASES.values())):
        for name, case in CASES.items():
            for normaliser in case.normalisers if seed < case.n_seeds else ():
                key = f"{name}, {normaliser}, {seed}"
                if key.startswith(tuple(names)) or (names == ["all"] and key not in entries):
                    entries = add("levels", {key: measure(case, normaliser, seed)})
    write_block("levels", told(entries))


if __name__ == "__main__":
    main(sys.argv[1:])
