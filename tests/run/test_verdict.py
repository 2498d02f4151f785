"""What evaluate.py keeps and shows of a score with a verdict."""

from pathlib import Path

import pytest

from ebm_exp.evaluator import Score
from ebm_exp.run.evaluation import Evaluation, write_score
from ebm_exp.run.tables import tell_evaluation

VERDICT = "equilibrated: no (gap -9.60 ± 0.60, R̂ 1.26)"


def test_a_refuted_number_is_shown_as_such_with_its_unit_and_what_refutes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nll = Score(1.5, 0.1, unit="nats per point", verdict=VERDICT, refuted=True)
    scores = {"ais_nll": nll, "ais_nll_independent_normals_of_a_long_name": Score(2.0, better=None), "zero": Score(0.0)}
    written = {name: write_score(score) | {"evaluator": "ais"} for name, score in scores.items()}
    assert written["ais_nll"]["refuted"] is True
    assert "refuted" not in written["zero"]
    assert written["zero"]["value"] == 0
    tell_evaluation(Evaluation(tmp_path, {"run": str(tmp_path)}, written))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "ais_nll 1.50 ± 0.10 nats per point ↓ refuted" in lines
    assert "ais_nll_independent_normals_of_a_long_name 2" in lines
    assert lines.count(f"ais {VERDICT}") == 1
