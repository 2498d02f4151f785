"""Tables that come with scikit-learn, trained by the command that docs/data.md prints."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.tables import write_tables
from ebm_exp.run.directory import RunDirectory


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes", "iris"])
def test_a_table_is_learned_without_an_alarm_and_no_worse_than_by_one_gaussian(
    name: str, cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    write_tables(tmp_path)
    words = (f"dataset.path={tmp_path}/{name}.csv", "dataset.test_share=0.3", "logger.mode=disabled")
    done = cli("train.py", "experiment=table", *words, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    run = RunDirectory(tmp_path / "run")
    assert run.summary().get("symptoms", []) == []
    scores = run.metrics()[-1]
    print(json.dumps(scores, indent=1))
    assert scores["eval/ais_equilibrated"] == 1
    assert scores["eval/ais_gain_gaussian"] >= -2 * scores["eval/ais_gain_gaussian_se"]
    assert scores["eval/c2st"] < 0.8
