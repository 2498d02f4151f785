"""Complete tables of single runs in RESULTS.md: ``python -m benchmarks.evaluations [<title>=<run directory> …]``.

Train and evaluate first; what ``evaluate.py`` left in the run is taken over, with the commands, into
``results/evaluations.json``. Without arguments the block is written anew from there.
"""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks.results import add, read, table, write_block
from ebm_exp.evaluation import NAME, written
from ebm_exp.run.directory import RunDirectory

_HERE = re.compile(
    r"(hydra\.run\.dir|output_dir|logger\.\w+|[\w.]*cache_dir)=.*"
)  # where it ran, and how it was looked at
_PLACES = {"run": "<run>", "against": "<another run>", "dataset.root": "<files>", "init_from": "<run>"}
_OOD = re.compile(r"ood_(auroc|aupr|fpr95)_(.+)_(energy|gradient|confidence|ratio)")


def taken(run: Path) -> dict[str, Any]:
    """What a run says of its training, and what it was evaluated as."""
    summary = RunDirectory(run).summary()
    evaluation = json.loads((run / NAME).read_text(encoding="utf-8"))
    calls = {name: _kept(call) for name, call in evaluation["calls"].items()}
    training = {key: summary.get(key) for key in ("step", "device", "n_parameters", "temperature")}
    training |= {
        "command": _plain(summary["command"]),
        "minutes": _minutes(run),
        "commit": (summary.get("code") or {}).get("commit"),
    }
    return {"training": training, "scores": evaluation["scores"], "calls": calls}


def _kept(call: dict[str, Any]) -> dict[str, Any]:
    names = (
        "samples",
        "temperature",
        "step",
        "weights",
        "checkpoint",
        "sha256",
        "seed",
        "device",
        "precision",
        "data",
        "versions",
    )
    code = (call.get("code") or {}).get("commit")
    return {name: call[name] for name in names} | {"command": _plain(call["command"]), "commit": code}


def _plain(command: str) -> str:
    """A command without the places of one machine."""
    words = [word for word in shlex.split(command) if not _HERE.fullmatch(word)]
    pairs = [word.partition("=") for word in words]
    return " ".join(
        f"{key}={_PLACES[key]}" if key in _PLACES and given else key + given + _quoted(value)
        for key, given, value in pairs
    )


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w./:+,\[\]-]*", value, re.ASCII) else shlex.quote(value)


def _minutes(run: Path) -> float | None:
    rows = [row["time/minutes"] for row in RunDirectory(run).metrics() if "time/minutes" in row]
    return round(rows[-1], 2) if rows else None


def told(title: str, entry: dict[str, Any]) -> str:
    """A run's section: how it was made, and its numbers by evaluator."""
    training, scores, calls = entry["training"], entry["scores"], entry["calls"]
    lines = [f"### {title}", ""]
    how = f"{training['step']:,} updates in {training['minutes']:.3g} minutes, {training['device']}"
    lines += [
        f"`{training['command']}`: {how}, {training['n_parameters']:,} parameters, T = {training['temperature']:.3g}.",
        "",
    ]
    for name in dict.fromkeys(score["call"] for score in scores.values()):
        call = calls[name]
        how = f"{call['samples']}; {call['weights']} weights, seed {call['seed']}, {call['precision']}"
        lines += [f"`{call['command']}`: {how}.", ""]
    protocols = {score["evaluator"]: score["protocol"] for score in scores.values()}
    lines += ["; ".join(f"*{name}*: {protocol}" for name, protocol in protocols.items()) + ".", ""]
    single = {name: score for name, score in scores.items() if not _OOD.fullmatch(name)}
    lines += [_rows(single), ""] if single else []
    lines += [_matrix(scores), ""] if len(single) < len(scores) else []
    return "\n".join(lines)


def _rows(scores: dict[str, Any]) -> str:
    shares = {name: score for name, score in scores.items() if re.fullmatch(r"class_share_\d+", name)}
    rows = [(name, _number(score), str(score.get("n", "")), {"lower": "↓", "higher": "↑"}.get(score.get("better"), ""))
            for name, score in scores.items() if name not in shares]  # fmt: skip
    if shares:
        rows.append(("class_share_0 …", " ".join(f"{score['value']:.3f}" for score in shares.values()), "", ""))
    return table(("score", "value ± s.e.", "n", ""), rows)


def _matrix(scores: dict[str, Any]) -> str:
    """AUROC, and in brackets the false positives at 95 %, of each set by each score."""
    found = {match.groups(): score for name, score in scores.items() if (match := _OOD.fullmatch(name))}
    sets, by = (list(dict.fromkeys(key[i] for key in found)) for i in (1, 2))
    rows = [
        (one, *(f"{_number(found['auroc', one, each])} ({found['fpr95', one, each]['value']:.2f})" for each in by))
        for one in sets
    ]
    return "AUROC ± s.e. (FPR at 95 %):\n\n" + table(("set", *by), rows)


def _number(score: dict[str, Any]) -> str:
    se = score.get("se")
    return written(score["value"], se) + ("" if se is None else f" ± {se:.2g}")


def main(arguments: list[str]) -> None:
    """Take over the runs that are named, and write the block."""
    named = {title: Path(run) for title, given, run in (each.partition("=") for each in arguments) if given}
    entries = add("evaluations", {title: taken(run) for title, run in named.items()}) if named else read("evaluations")
    write_block("evaluations", "\n".join(told(title, entry) for title, entry in entries.items()).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
