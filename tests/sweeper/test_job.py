"""One job of a sweep."""

from pathlib import Path

import pytest

from ebm_exp.sweep.directory import SweepDirectory
from ebm_exp.sweeper import job
from ebm_exp.trainer.outcome import Outcome


def test_a_signal_that_ends_a_job_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(job.WORKER, job.worker_name())
    sweep = SweepDirectory(tmp_path / "sweep")
    sweep.write_record({"overrides": [], "keys": ["seed"], "n": 1})
    with pytest.raises(SystemExit) as ended:
        job.run(sweep, 0, {"seed": 1}, ["seed=1"], lambda folder: None, lambda config: Outcome("stopped", signal=15))
    assert ended.value.code == 143
