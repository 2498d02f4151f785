"""How a training ends, and what is its best evaluation."""

import math
from pathlib import Path

import pytest

from ebm_exp.evaluator import Evaluator, Model, Score
from ebm_exp.run.checkpoint import read_state
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.build import build
from ebm_exp.trainer.outcome import Outcome, best_of
from ebm_exp.trainer.session import Session
from tests.config.test_conf import composed

TINY = ("energy.widths=[8]", "trainer.batch_size=8", "sampler.n_steps=2", "logger.mode=disabled", "evaluator=none")
EVERY = ("trainer.max_steps=8", "trainer.evaluate_every_steps=2", "trainer.image_every_steps=100")
NO = "equilibrated: no (gap)"


class Told(Evaluator):
    """Numbers that a test gives, one an evaluation."""

    n_samples = 0
    protocol = "none"

    def __init__(self, values: list[float], better: str | None, refutes: float | None = None) -> None:
        self.values, self.better, self.refutes = iter(values), better, refutes

    def __call__(self, model: Model) -> dict[str, Score]:
        value = next(self.values)
        verdict = {"verdict": NO, "refuted": True} if value == self.refutes else {}
        return {"told": Score(value, 0.5, self.better, **verdict)}


def fit(
    tmp_path: Path, better: str | None, refutes: float | None = None, **more: object
) -> tuple[Outcome, RunDirectory]:
    config = composed(*TINY, *EVERY, "optimized_metric=eval/told", "guard.on_divergence=warn")
    parts, experiment = build(config)
    experiment = experiment._replace(evaluators={"told": Told([3.0, 1.0, math.nan, 2.0], better, refutes)})
    run = RunDirectory(tmp_path / "run")
    run.create()
    return Session(parts["trainer"], experiment, run, parts["logger"], **more).run(), run


@pytest.mark.parametrize(("better", "value", "step"), [("lower", 1.0, 4), ("higher", 3.0, 2)])
def test_the_best_follows_the_direction_of_the_score(tmp_path: Path, better: str, value: float, step: int) -> None:
    outcome, run = fit(tmp_path, better)
    assert outcome == Outcome("finished", {"metric": "eval/told", "value": value, "step": step, "better": better})
    assert [each["name"] for each in run.summary()["symptoms"]] == ["score_not_finite"]
    assert run.summary()["best"] == outcome.best
    assert read_state(run, "best")["step"] == step
    rows = {row["step"]: row for row in run.metrics() if "eval/told" in row}
    assert [rows[k]["eval/told"] for k in (2, 4, 8)] == [3.0, 1.0, 2.0]
    assert rows[2]["eval/told_se"] == 0.5


def test_a_score_without_a_direction_is_never_best(tmp_path: Path) -> None:
    assert fit(tmp_path, None)[0].best is None
    assert best_of(None, "eval/other", {"told": Score(1.0)}, 3) is None
    assert best_of(None, None, {"told": Score(1.0)}, 3) is None


@pytest.mark.parametrize(("refutes", "best", "kept"), [(1.0, 2.0, {}), (2.0, 1.0, {"eval/told": NO})])
def test_a_refuted_score_is_logged_and_never_best(
    tmp_path: Path, refutes: float, best: float, kept: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    outcome, run = fit(tmp_path, "lower", refutes)
    assert outcome.best is not None
    assert outcome.best["value"] == best
    assert [row["eval/told"] for row in run.metrics() if row.get("eval/told") == refutes] == [refutes]
    assert run.summary().get("refuted", {}) == kept  # of the last evaluation
    assert f"{NO}; no score of it is taken as the best" in caplog.text


def test_a_callback_is_told_each_evaluation_and_may_prune(tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []

    def prune(step: int, scores: dict[str, Score]) -> bool:
        told.append((step, scores["told"].value))
        return len(told) == 2

    outcome, run = fit(tmp_path, "lower", prune=prune)
    assert told == [(2, 3.0), (4, 1.0)]
    assert (outcome.state, outcome.reason) == ("pruned", "its scores at step 4")
    assert outcome.best is not None
    assert outcome.best["step"] == 4
    summary = run.summary()
    assert (summary["state"], summary["reason"], summary["step"]) == ("pruned", "its scores at step 4", 4)
    assert read_state(run)["step"] == 4  # can be gone on from
