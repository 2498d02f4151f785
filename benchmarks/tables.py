"""``experiment=table`` on six tables, for RESULTS.md: ``python -m benchmarks.tables <folder> [<table> …]``.

The folder holds adult.csv and abalone.csv, with a header; four tables of scikit-learn are written into it. Each is
trained by the one command that docs/data.md prints, in a process of its own on one thread; results go to
``results/tables.json``, by table and seed. Without arguments the block is written anew from there.
"""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.results import add, machine, read, table, write_block
from benchmarks.runs import train
from ebm_exp.metrics import error_of
from ebm_exp.text import with_error

SEEDS = {"wine": 3, "breast_cancer": 3, "diabetes": 3, "iris": 3, "abalone": 3, "adult": 1}
OWN = {"adult": ["dataset.missing=impute"]}  # what a table needs beside its path
PAIRS = {
    "wine": "[0,1]",
    "breast_cancer": "[0,1]",
    "diabetes": "[bmi,s5]",
    "iris": "[2,3]",
    "abalone": "[length,rings]",
}
HOW = (
    "`{command}` and the table's path; seconds are those of the whole command, evaluation and pictures included. "
    "Held-out nats a row, of standardised columns, by AIS (reverse weights). The difference to one Gaussian with all "
    "covariances and a cross-validated floor is a mean of paired differences ± s.e. c2st: ½ is right. Correlations' "
    "error: mean over pairs, of 1,000 samples against held-out rows; in brackets that of the training rows themselves. "
    "Adult: 5,000 random rows, `dataset.missing=impute`; held-out rows with gaps are not scored. "
    "`python -m benchmarks.tables`, {machine}."
)


def write_tables(folder: Path) -> None:
    """The tables of scikit-learn, as files."""
    from sklearn import datasets

    loads = {"wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer, "iris": datasets.load_iris}
    of_libraries = {name: load() for name, load in loads.items()} | {"diabetes": datasets.load_diabetes(scaled=False)}
    for name, data in of_libraries.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(data.feature_names)
            rows.writerows([f"{value:.10g}" for value in row] for row in data.data)


def measure(file: Path, *overrides: str) -> dict[str, Any]:
    """What one command leaves."""
    seconds, summary, scores, _ = train(
        ["experiment=table", f"dataset.path={file}", "dataset.test_share=0.3", *overrides]
    )
    data = summary["data"]
    return {
        "state": summary["state"],
        "alarms": [each["name"] for each in summary.get("symptoms", [])],
        "seconds": seconds,
        "steps": summary["step"],
        "n_train": data["n_train"],
        "n_test": data["n_test"],
        "columns": len(data["units"]["columns"]),
        "categories": sum(column["values"] is not None for column in data["units"]["columns"]),
        "scores": scores,
    }


def _with_error(scores: Mapping[str, float], name: str) -> str:
    return with_error(scores[name], scores[error_of(name)])


def _pair(key: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    scores = entry["scores"]
    gap = max(abs(scores[name] - scores["log_z"]) for name in ("ais_log_z", "ais_log_z_reverse"))
    ways = (_with_error(scores, name) for name in ("ais_log_z", "ais_log_z_reverse"))
    verdict = "yes" if scores["ais_equilibrated"] else "no"
    return f"{_title(key.split()[0])} {entry['pair']}", *ways, f"{scores['log_z']:.4f}", f"{gap:.4f}", verdict


def _title(name: str) -> str:
    return name.replace("_", " ")


def told(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The block of RESULTS.md."""
    rows = []
    for name in SEEDS:
        seeds = [
            entry for key, entry in entries.items() if key.rpartition(" ")[0] == name and entry["seed"] is not None
        ]
        if not seeds:
            continue
        first, scores = seeds[0], [entry["scores"] for entry in seeds]

        def mean(score: str, of: list[Mapping[str, float]] = scores) -> str:
            return f"{fmean(each[score] for each in of):.3g}"

        verdicts = {"yes" if each["ais_equilibrated"] else "no" for each in scores}
        alarms = sorted({alarm for entry in seeds for alarm in entry["alarms"]})
        rows.append((
            _title(name),
            f"{first['n_train']:,} + {first['n_test']:,}",
            f"{first['columns']} ({first['categories']})",
            f"{first['steps']:,}",
            f"{max(entry['seconds'] for entry in seeds):.0f}",
            mean("ais_nll_reverse"),
            mean("ais_nll_gaussian"),
            ", ".join(_with_error(each, "ais_gain_gaussian") for each in scores),
            " and ".join(sorted(verdicts)),
            ", ".join(_with_error(each, "c2st") for each in scores),
            f"{mean('correlation_error')} ({mean('correlation_error_training')})",
            ", ".join(alarms) or "none",
        ))  # fmt: skip
    header = (
        *("table", "rows (training + held out)", "columns (categories)", "updates", "CPU seconds, at most"),
        *("nats a row", "Gaussian", "better by, each seed", "equilibrated", "c2st"),
        *("correlations' error (training rows)", "alarms"),
    )
    pairs = [_pair(key, entry) for key, entry in entries.items() if entry["seed"] is None]
    lines = [HOW.format(**next(iter(entries.values()))), "", table(header, rows)]
    if pairs:
        lines += [
            "",
            "Two columns of a table each, log Z by AIS from both sides and by quadrature (`evaluator=[ais,grid]`):",
            "",
            table(("columns", "AIS", "AIS, reverse", "quadrature", "largest difference", "equilibrated"), pairs),
        ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Train what is named, or all, and write the block."""
    entries = read("tables")
    if arguments:
        folder, names = Path(arguments[0]).resolve(), arguments[1:] or list(SEEDS)
        write_tables(folder)
        own = {"machine": machine(), "command": "python train.py experiment=table dataset.test_share=0.3"}
        for name in names:
            file = folder / f"{name}.csv"
            for seed in range(SEEDS[name]):
                entry = measure(file, f"seed={seed}", *OWN.get(name, []))
                entries = add("tables", {f"{name} {seed}": own | {"seed": seed} | entry})
            if name in PAIRS:
                entry = measure(file, f"dataset.columns={PAIRS[name]}", "evaluator=[ais,grid,two_sample]")
                entries = add("tables", {f"{name} pair": own | {"seed": None, "pair": PAIRS[name]} | entry})
    write_block("tables", told(entries))


if __name__ == "__main__":
    main(sys.argv[1:])
