"""Points of the plane in Gray code, for RESULTS.md: ``python -m benchmarks.discrete [two_spirals/PCD …]``.

Each is trained by the one command that its row names, in a process of its own on one thread; results go to
``results/discrete.json``, by set, method and seed. Without arguments the block is written anew from there; ``all``
trains what is not there yet.
"""

import sys
from collections.abc import Mapping
from statistics import stdev
from typing import Any

from benchmarks.building import built
from benchmarks.results import add, machine, read, table, write_block
from benchmarks.runs import train
from ebm_exp.evaluator import Model
from ebm_exp.metrics import error_of
from ebm_exp.text import with_error
from ebm_exp.types import Points

SETS = ("two_spirals", "eight_gaussians", "checkerboard")
METHODS = {
    "PCD": ("objective=pcd",),
    "energy discrepancy": ("objective=energy_discrepancy_binary",),
    "ratio matching": ("objective=ratio_matching", "objective.n_bits=8"),
    "pseudo-likelihood": ("objective=pseudo_likelihood", "objective.n_bits=8"),
}
PUBLISHED = {  # nats a point; entropies of the sets by their own generators, estimated from 40,000 points, ± .005
    "two_spirals": {"entropy": 20.040, "PCD": 20.09, "ALOE+": 20.06, "EB-GFN": 20.05},
    "eight_gaussians": {"entropy": 19.985, "PCD": 19.99, "ALOE+": 19.98, "EB-GFN": 19.98},
    "checkerboard": {"entropy": 20.677, "PCD": 21.21, "ALOE+": 21.14, "EB-GFN": 20.70},
}
HOW = (
    "`{command}`, and `objective=…`: 32 bits, an energy of {parameters:,} parameters, seed 0. NLL in nats a point of "
    "10,000 held-out points, by AIS with reverse weights; gap: reverse less forward log Z; ESS: of 256 forward chains. "
    "Entropy: −log p of the same points, the floor; KL: the mean of paired differences. An NLL more than two standard "
    "errors below the floor is refuted. MMD²: of 1,000 fresh chains, exp(−H/10) of the Hamming distance H; two sets of "
    "data differ by {noise}. CPU seconds are of one thread, of the whole command: AIS, samples and images included. "
    "`python -m benchmarks.discrete`, {machine}."
)
BESIDE = (
    "Published beside ours. The published sets lie on the same grid and are the same laws but for two spirals, whose "
    "arms are of other shape; what they differ by is what entropies differ by, of the published sets ± .005. EB-GFN's "
    "code has an MLP of three layers of 256 too, and 100,000 updates of 128. Published figures are quoted at second "
    "hand, and say neither error nor evidence. Excess is NLL less entropy. What AIS refutes is left out."
)


def measure(name: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    """What one command leaves."""
    words = [f"experiment=discrete/{name}", *overrides]
    seconds, summary, scores, _ = train(words)
    return {
        "command": " ".join(("python train.py", *words)),
        "state": summary["state"],
        "alarms": [each["name"] for each in summary.get("symptoms", [])],
        "seconds": seconds,
        "steps": summary["step"],
        "n_parameters": summary["n_parameters"],
        "scores": scores,
        "machine": machine(),
    }


def _title(name: str) -> str:
    return name.replace("_", " ")


def _ours(entry: Mapping[str, Any], name: str, method: str) -> tuple[str, ...]:
    scores = entry["scores"]

    def both(score: str) -> str:
        return with_error(scores[score], scores[error_of(score)])

    verdict = "yes" if scores["ais_equilibrated"] else "**no**"
    return (
        *(_title(name), method, f"{entry['steps']:,}", f"{entry['seconds']:.0f}", both("ais_nll_reverse")),
        *(both("ais_entropy"), both("ais_kl"), both("ais_gap"), f"{scores['ais_ess']:.0f}"),
        *(f"{scores['ais_r_hat']:.2f}", verdict, f"{1e4 * scores['mmd2']:.1f}", ", ".join(entry["alarms"]) or "none"),
    )


def _beside(name: str, entries: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A set's rows, ours and published: NLL, the entropy it is measured against, and the excess."""
    ours = [
        (f"{method}, ours", scores["ais_nll_reverse"], scores["ais_entropy"], scores["ais_kl"])
        for method in METHODS
        if (entry := entries.get(f"{name}/{method}")) is not None and (scores := entry["scores"])["ais_equilibrated"]
    ]
    said = PUBLISHED[name]
    theirs = [
        (method, nll, said["entropy"], nll - said["entropy"]) for method, nll in said.items() if method != "entropy"
    ]
    return [
        (_title(name), method, f"{nll:.2f}", f"{entropy:.2f}", f"{round(excess, 2) + 0.0:.2f}")
        for method, nll, entropy, excess in (*ours, *theirs)
    ]


def told(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The block of RESULTS.md."""
    measured = {key: entry for key, entry in entries.items() if "scores" in entry}
    order = [(name, method) for name in SETS for method in METHODS if f"{name}/{method}" in measured]
    rows = [_ours(measured[f"{name}/{method}"], name, method) for name, method in order]
    header = (
        *("set", "method", "updates", "CPU seconds", "NLL", "entropy", "KL", "gap", "ESS", "R̂", "equilibrated"),
        *("MMD², 1e-4", "alarms"),
    )
    first = next(iter(measured.values()))
    how = HOW.format(
        command="python train.py experiment=discrete/two_spirals",
        parameters=first["n_parameters"],
        noise=f"{1e4 * entries['floor']['mmd2_std']:.1f}e-4",
        machine=first["machine"],
    )
    beside = [row for name in SETS for row in _beside(name, measured)]
    return "\n".join([
        how, "", table(header, rows), "", BESIDE, "", table(("set", "method", "NLL", "entropy", "excess"), beside),
    ])  # fmt: skip


def floor_of_mmd(n_draws: int = 20) -> dict[str, float]:
    """How far MMD² of 1,000 points of the data's own distribution is from 0, as a rule: its standard deviation."""
    _, parts, experiment = built("experiment=discrete/two_spirals", "device=cpu")
    mmd, x = experiment.evaluators["mmd"], parts["dataset"].train()
    energy = experiment.energy  # not called
    found = [mmd(Model.of(energy, Points(some)))["mmd2"].value for some in x.split(mmd.n_samples)[:n_draws]]
    return {"mmd2_std": stdev(found)}


def main(arguments: list[str]) -> None:
    """Train what is named, or what is missing of all, and write the block."""
    entries = read("discrete")
    wanted = [f"{name}/{method}" for method in METHODS for name in SETS] if arguments == ["all"] else arguments
    if wanted and "floor" not in entries:
        entries = add("discrete", {"floor": floor_of_mmd()})
    for key in wanted:
        if arguments == ["all"] and key in entries:
            continue
        name, _, method = key.partition("/")
        entries = add("discrete", {key: measure(name, METHODS[method])})
    write_block("discrete", told(entries))


if __name__ == "__main__":
    main(sys.argv[1:])
