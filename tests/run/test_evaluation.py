"""The record of an evaluation: at every moment it says what was asked, and whether that has ended."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.config.errors import UserError
from ebm_exp.evaluator import Evaluator, Model, Score
from ebm_exp.run import LoadedRun, load_run
from ebm_exp.run.evaluation import evaluate


class Stub(Evaluator):
    """Does something, and finds one number."""

    protocol = "a stub"

    def __init__(self, name: str, do: Callable[[], object] = lambda: None) -> None:
        self.n_samples, self.name, self.do = 0, name, do

    def __call__(self, model: Model) -> dict[str, Score]:
        self.do()
        return {self.name: Score(1.0)}


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> LoadedRun:
    return load_run(shutil.copytree(trained, tmp_path / "run"), device="cpu", needs_data=True)


def test_it_says_what_was_asked_and_whether_that_has_ended(run: LoadedRun, tmp_path: Path) -> None:
    """What lies there while the second evaluator works is what a kill would leave."""

    def read() -> dict[str, Any]:
        return json.loads((tmp_path / "evaluation.json").read_text())

    def state() -> tuple[str, list[str], list[str]]:
        record = read()
        return record["state"], record["asked"], list(record["scores"])

    def fail() -> None:
        raise ValueError("no numbers")

    def stop() -> None:
        raise KeyboardInterrupt

    seen: list[object] = []
    look = lambda: seen.append(state())  # noqa: E731
    evaluate(run, {"a": Stub("a", look), "b": Stub("b", look)}, 0, tmp_path, {})
    assert seen == [("running", ["a", "b"], []), ("running", ["a", "b"], ["a"])]
    assert state() == ("finished", ["a", "b"], ["a", "b"])
    kept = json.loads((run.path / "evaluation.json").read_text())
    assert kept["calls"][tmp_path.name]["asked"] == ["a", "b"]

    evaluate(run, {"a": Stub("a"), "b": Stub("b", fail)}, 0, tmp_path, {})
    assert state() == ("failed", ["a", "b"], ["a"])
    kept = json.loads((run.path / "evaluation.json").read_text())
    assert kept["calls"][tmp_path.name]["failed"] == {"b": "ValueError: no numbers"}

    with pytest.raises(KeyboardInterrupt):
        evaluate(run, {"c": Stub("c"), "b": Stub("b", stop)}, 0, tmp_path, {})
    assert state() == ("stopped", ["c", "b"], ["c"])
    with pytest.raises(UserError, match=r"evaluator.b: ValueError: no numbers"):
        evaluate(run, {"b": Stub("b", fail)}, 0, tmp_path, {})
    assert state() == ("failed", ["b"], [])
    assert "c" not in json.loads((run.path / "evaluation.json").read_text())["scores"]  # what was stopped is not kept
