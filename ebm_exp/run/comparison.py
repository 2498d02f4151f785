"""Several evaluated runs side by side: one table, and one file, ``evaluations.json``, with all that came of them.

Runs that differ in nothing but the seed are one setting, whose mean and standard error are over its seeds.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import GROUPS, names_run
from ebm_exp.config.override import pairs
from ebm_exp.config.tree import leaves, look_up
from ebm_exp.files import read_mapping, write_json
from ebm_exp.run.about import read_composed
from ebm_exp.run.evaluation import Evaluation
from ebm_exp.run.provenance import describe_process

NAME = "evaluations.json"
SEED = "seed"


@dataclass
class Entry:
    """One of the runs.

    Attributes:
        run: its directory.
        config: as the run has it.
        settings: what tells it from the others, by key; the seed is not among them.
        state: ``waiting``, ``running``, ``finished``, ``failed`` (its evaluators, or all of it) or ``stopped``.
        reason: why it has no numbers.
        evaluation: what its evaluators found.
    """

    run: Path
    config: Mapping[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    state: str = "waiting"
    reason: str | None = None
    evaluation: Evaluation | None = None

    @property
    def scores(self) -> dict[str, dict[str, Any]]:
        """By name, as ``Evaluation`` has them."""
        return {} if self.evaluation is None else self.evaluation.scores

    def made(self, key: str) -> Any:
        """What the evaluation says of how its numbers were made; None without one."""
        return None if self.evaluation is None else self.evaluation.made.get(key)

    @property
    def data(self) -> str:
        """The data it was evaluated on, and a few digits of their fingerprint; empty where it is not known."""
        data = self.made("data")
        return "" if data is None else f"{data['name']} {data['fingerprint'][:6]}"

    def record(self) -> dict[str, Any]:
        """As the file has it."""
        made = {} if self.evaluation is None else self.evaluation.record() | {"folder": str(self.evaluation.folder)}
        said = {"state": self.state, "reason": self.reason, "settings": self.settings, "seed": self.config.get(SEED)}
        return {"run": str(self.run), "step": self.made("step")} | made | said


class Comparison:
    """Evaluations of several runs; the file is written whole whenever one of them ends.

    Args:
        folder: takes ``evaluations.json``.
        runs: directory and config of each, in the order they are evaluated.
        asked: what the command asked for.
        left_out: what the command names and is not among them, by why.

    Attributes:
        entries: what came of each.

    Raises:
        UserError: when the folder holds such a file already.
    """

    def __init__(
        self,
        folder: Path,
        runs: Sequence[tuple[Path, Mapping[str, Any]]],
        asked: Mapping[str, Any],
        left_out: Mapping[str, int],
    ) -> None:
        self.file = folder / NAME
        if self.file.exists():
            raise UserError(f"output_dir: {folder} holds an evaluation of several runs already")
        folder.mkdir(parents=True, exist_ok=True)
        settings = _settings(runs)
        self.entries = [Entry(run, config, settings[i]) for i, (run, config) in enumerate(runs)]
        self.left_out = left_out
        self._state = "running"
        self._asked = {**asked, "runs": [str(run) for run, _ in runs], "left_out": left_out}
        self._made = describe_process()

    @property
    def exit_code(self) -> int:
        """1 where a run or an evaluator failed."""
        return int(any(entry.state != "finished" for entry in self.entries))

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Say in the file that this goes on, and at its end how it ended."""
        self._write()
        try:
            yield
        except BaseException:  # Ctrl-C
            self._state = "stopped"
            for entry in self.entries:
                entry.state = "stopped" if entry.state == "running" else entry.state
            raise
        else:
            self._state = "failed" if self.exit_code else "finished"
        finally:
            self._write()

    def begin(self, number: int) -> None:
        """Say that one is being evaluated."""
        self.entries[number].state = "running"
        self._write()

    def take(self, number: int, evaluation: Evaluation) -> None:
        """Take what came of one."""
        entry = self.entries[number]
        entry.evaluation, entry.state = evaluation, evaluation.state
        self._write()

    def fail(self, number: int, reason: str) -> None:
        """Say why one could not be evaluated."""
        entry = self.entries[number]
        entry.state, entry.reason = "failed", reason
        print(f"failed: {reason}", flush=True)
        self._write()

    def record(self) -> dict[str, Any]:
        """What the file says."""
        means = [
            {
                "settings": group[0].settings,
                "data": group[0].data,
                "runs": [str(entry.run) for entry in group],
                "scores": {name: mean for name in self.names() if (mean := mean_over(group, name)) is not None},
            }
            for group in self.groups()
        ]
        runs = [entry.record() for entry in self.entries]
        return {"state": self._state, "asked": self._asked, "made": self._made, "runs": runs, "means": means}

    def _write(self) -> None:
        write_json(self.file, self.record())

    def names(self) -> list[str]:
        """The scores that some run has."""
        return list(dict.fromkeys(name for entry in self.entries for name in entry.scores))

    def groups(self) -> list[list[Entry]]:
        """Runs with numbers that differ in their seed alone, where there are several of them; one of each seed."""
        found: dict[str, dict[Any, Entry]] = {}
        for entry in self.entries:
            if entry.scores:
                same = sorted((key, str(v)) for key, v in leaves(entry.config) if names_run(key) and key != SEED)
                group = found.setdefault(str((same, entry.data, entry.made("step"))), {})
                group.setdefault(entry.config.get(SEED), entry)
        return [[*group.values()] for group in found.values() if len(group) > 1]


def _settings(runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What tells each run from the others: of keys that somebody typed, or a sweep varied, those that differ."""
    composed = [read_composed(run) for run, _ in runs]
    keys = dict.fromkeys(key for _, typed, _ in composed for key, _ in pairs(typed) if names_run(key) and key != SEED)
    found = {
        key: [_value(key, config, choices) for (_, config), (choices, _, _) in zip(runs, composed, strict=True)]
        for key in keys
    }
    sweeps = {run.resolve().parent for run, _ in runs}
    swept = read_mapping(sweeps.pop() / "sweep.json").get("keys") if len(sweeps) == 1 else None
    varied = swept if isinstance(swept, list) else []
    differ = [key for key, values in found.items() if key in varied or any(each != values[0] for each in values)]
    return [{key: found[key][i] for key in differ} for i in range(len(runs))]


def _value(key: str, config: Mapping[str, Any], choices: Mapping[str, str]) -> Any:
    """The value that a key has in a run, or the choice that a group has."""
    value = look_up(config, key)
    return choices.get(key) if key in GROUPS or "@" in key or isinstance(value, Mapping) else value


def mean_over(group: Sequence[Entry], name: str) -> dict[str, Any] | None:
    """A score over the seeds of a setting: value, s.e. and the number of seeds; None where fewer than two have it, or
    one is refuted.
    """
    scores = [entry.scores[name] for entry in group if name in entry.scores]
    values = [score["value"] for score in scores]
    if len(values) < 2 or not all(map(math.isfinite, values)) or any(score.get("refuted") for score in scores):
        return None
    return {
        "value": statistics.fmean(values),
        "se": statistics.stdev(values) / math.sqrt(len(values)),
        "n": len(values),
    }
