"""Complete tables of runs in RESULTS.md: ``python -m benchmarks.evaluations [<title>=<run>[,<another seed> …] …]``.

Train and evaluate first; what ``evaluate.py`` left in the run is taken over, with the commands, into
``results/evaluations.json``. Without arguments the block is written anew from there.
"""

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import add, read, table, write_block
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.evaluation import NAME
from ebm_exp.text import number, with_error

_HERE = re.compile(
    r"(hydra\.run\.dir|output_dir|logger\.\w+|[\w.]*cache_dir)=.*"
)  # where it ran, and how it was looked at
_PLACES = {"run": "<run>", "against": "<another run>", "dataset.root": "<files>", "init_from": "<run>"}
HOW = (
    "Trained by the first command, evaluated by the second, written by `python -m benchmarks.evaluations` from what "
    "`evaluate.py` left in the run. On a CPU one thread each, two runs side by side. `frechet_classifier` and "
    "`kid_classifier` are in the features of a small classifier of the same data, no FID."
)
_SEED = re.compile(r" seed=(\d+)")
_BETTER = {"lower": "↓", "higher": "↑"}
_OOD = re.compile(r"ood_(auroc|aupr|fpr95)_(.+)_(energy|gradient|confidence|ratio)")


def taken(run: Path) -> dict[str, Any]:
    """What a run says of its training, and what it was evaluated as."""
    summary = RunDirectory(run).summary()
    evaluation = json.loads((run / NAME).read_text(encoding="utf-8"))
    calls = {name: _kept(call) for name, call in evaluation["calls"].items()}
    training = {key: summary.get(key) for key in ("step", "device", "n_parameters", "temperature")}
    command = _plain(summary["command"])
    training |= {
        "command": _SEED.sub("", command),
        "seed": int(_SEED.findall(command)[-1]) if _SEED.search(command) else 0,
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
    kept = {name: call[name] for name in names} | {"command": _plain(call["command"]), "commit": code}
    return kept | ({"failed": sorted(call["failed"])} if call.get("failed") else {})


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


def told(rows: Mapping[str, list[dict[str, Any]]]) -> str:
    """The block of RESULTS.md."""
    return "\n\n".join([HOW, *(section(title, entries).rstrip() for title, entries in rows.items())])


def section(title: str, entries: list[dict[str, Any]]) -> str:
    """The section of one run, or of one training by several seeds: how it was made, and its numbers by evaluator."""
    first, trainings = entries[0], [entry["training"] for entry in entries]
    training, calls = first["training"], first["calls"]
    minutes = [f"{each:.3g}" for each in sorted({each["minutes"] for each in trainings})]
    how = f"{training['step']:,} updates in {'–'.join(dict.fromkeys((minutes[0], minutes[-1])))} minutes"
    how += f", {training['device']}, {training['n_parameters']:,} parameters, T = {training['temperature']:.3g}"
    how += _commits(trainings)
    lines = [f"### {title}", "", f"`{training['command']}`: {how}.", ""]
    for name in dict.fromkeys(score["call"] for score in first["scores"].values()):
        call = calls[name]
        others = [each for entry in entries[1:] for each in entry["calls"].values()]
        how = f"{call['samples']}; {call['weights']} weights, seed {call['seed']}, {call['precision']}"
        how += f", torch {call['versions']['torch']}" + _commits([call, *others])
        how += f"; {', '.join(call['failed'])} failed" if "failed" in call else ""
        lines += [f"`{call['command']}`: {how}.", ""]
    protocols = {score["evaluator"]: score["protocol"] for score in first["scores"].values()}
    lines += ["; ".join(f"*{name}*: {protocol}" for name, protocol in protocols.items()) + ".", ""]
    seeds = [f"seed {each['seed']}" for each in trainings] if len(entries) > 1 else ["value ± s.e."]
    scores = [entry["scores"] for entry in entries]
    lines += [_rows(scores, seeds), ""] if any(not _OOD.fullmatch(name) for name in scores[0]) else []
    lines += [_matrix(scores), ""] if any(_OOD.fullmatch(name) for name in scores[0]) else []
    return "\n".join(lines)


def _commits(made: Sequence[Mapping[str, Any]]) -> str:
    """The commits that made something, in order, nothing where none is known."""
    known = [f"`{each['commit'][:7]}`" for each in made if each["commit"]]
    return f", commit {', '.join(dict.fromkeys(known))}" if known else ""


def _rows(scores: list[dict[str, Any]], seeds: list[str]) -> str:
    rows, shares = [], []
    for name, score in scores[0].items():
        each = [_number(of_seed[name]) if name in of_seed else "" for of_seed in scores]
        if re.fullmatch(r"class_share_\d+", name):
            shares.append([f"{of_seed[name]['value']:.3f}" for of_seed in scores])
        elif not _OOD.fullmatch(name):
            rows.append((name, *each, str(score.get("n", "")), _BETTER.get(score.get("better"), "")))
    if shares:
        rows.append(("class_share_0 …", *(" ".join(each) for each in zip(*shares, strict=True)), "", ""))
    return table(("score", *seeds, "n", ""), rows)


def _matrix(scores: list[dict[str, Any]]) -> str:
    """AUROC, and in brackets the false positives at 95 %, of each set by each score."""
    found = [
        {match.groups(): score for name, score in of_seed.items() if (match := _OOD.fullmatch(name))}
        for of_seed in scores
    ]
    sets, by = (list(dict.fromkeys(key[i] for key in found[0])) for i in (1, 2))

    def cell(one: str, each: str) -> str:
        return " / ".join(
            f"{_number(of_seed['auroc', one, each])} ({of_seed['fpr95', one, each]['value']:.2f})" for of_seed in found
        )

    return "AUROC ± s.e. (FPR at 95 %):\n\n" + table(
        ("set", *by), [(one, *(cell(one, each) for each in by)) for one in sets]
    )


def _number(score: dict[str, Any]) -> str:
    se = score.get("se")
    return number(score["value"]) if se is None else with_error(score["value"], se)


def main(arguments: list[str]) -> None:
    """Take over the runs that are named, and write the block."""
    named = {title: runs.split(",") for title, given, runs in (each.partition("=") for each in arguments) if given}
    new = {title: [taken(Path(run)) for run in runs] for title, runs in named.items()}
    entries = add("evaluations", new) if new else read("evaluations")
    write_block("evaluations", told(entries))


if __name__ == "__main__":
    main(sys.argv[1:])
