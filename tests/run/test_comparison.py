"""What came of several runs: its file at every moment, and its table on a narrow screen."""

import json
from pathlib import Path

import pytest

from ebm_exp.config.errors import UserError
from ebm_exp.run.comparison import Comparison
from ebm_exp.run.evaluation import Evaluation
from ebm_exp.run.tables import tell_comparison


def compare(folder: Path, n_scores: int = 0) -> Comparison:
    """Two runs of one setting, of two seeds."""
    found = Comparison(folder, [(Path("a"), {"seed": 1}), (Path("b"), {"seed": 2})], {"run": "[a,b]"}, {})
    for i in range(2 if n_scores else 0):
        scores = {f"some_score_{k}": {"value": k + i, "evaluator": "x", "better": "lower"} for k in range(n_scores)}
        found.take(i, Evaluation(folder, {"step": 3}, scores, state="finished"))
    return found


def test_its_file_says_whether_it_ended(tmp_path: Path) -> None:
    def states() -> list[str]:
        record = json.loads((tmp_path / "evaluations.json").read_text())
        assert record["asked"]["runs"] == ["a", "b"]
        return [record["state"], *(each["state"] for each in record["runs"])]

    comparison = compare(tmp_path)

    def interrupt() -> None:
        with comparison.recorded():
            assert states() == ["running", "waiting", "waiting"]
            comparison.begin(0)
            assert states() == ["running", "running", "waiting"]
            comparison.fail(0, "no data")
            comparison.begin(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert states() == ["stopped", "failed", "stopped"]
    with pytest.raises(UserError, match=r"^output_dir: .* holds an evaluation of several runs already"):
        compare(tmp_path)


def test_a_narrow_screen_has_several_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = compare(tmp_path, n_scores=9)
    tell_comparison(comparison)
    assert sum("some_score_0" in line and "some_score_8" in line for line in capsys.readouterr().out.splitlines()) == 2
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal
    monkeypatch.setenv("TERM", "dumb")  # of 80 columns
    tell_comparison(comparison)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines if "score" in line)
    assert all(sum(f"some_score_{k} " in line for line in lines) == 2 for k in range(9))  # runs, and means over seeds
    assert any("4.50 ± 0.50" in line for line in lines)


def test_what_is_refuted_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comparison = compare(tmp_path, n_scores=2)
    comparison.entries[0].scores["some_score_1"] |= {"refuted": True, "verdict": "equilibrated: no", "unit": "nats"}
    tell_comparison(comparison)
    told = capsys.readouterr().out
    assert "1 refuted" in told
    assert "a some_score_1 is refuted: equilibrated: no" in told
    assert [*comparison.record()["means"][0]["scores"]] == ["some_score_0"]
