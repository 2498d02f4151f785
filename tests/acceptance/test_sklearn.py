"""scikit-learn's checks of an estimator, all of them, on trainings of one step."""

from pathlib import Path

import pytest
from sklearn.utils.estimator_checks import check_estimator

from ebm_exp.sklearn import EBM
from tests.test_sklearn import TINY

EXPECTED_FAILURES: dict[str, str] = {}  # by the name of a check: why; there are none


@pytest.mark.slow
def test_every_check_of_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ebm_exp.trainer.observer.Observer.draw", lambda *_, **__: {})  # a third of the time
    model = EBM((*TINY, "trainer.max_steps=1"), normalise=False)
    found = check_estimator(model, expected_failed_checks=EXPECTED_FAILURES, on_skip=None, on_fail=None)
    assert len(found) > 35
    states = {each["check_name"]: (each["status"], str(each["exception"])) for each in found}
    skipped = {name for name, (state, _) in states.items() if state == "skipped"}
    assert {name: state for name, state in states.items() if state[0] not in ("passed", "skipped")} == {}
    assert skipped <= {"check_array_api_input"}  # wants SCIPY_ARRAY_API in the environment
