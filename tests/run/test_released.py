"""A run of each release is drawn from, gone on with and reported by all that come after it.

For the next release: a run like the newest in ``released``, without its images, report and lock, and what it says of
the digits below.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import ebm_exp
from ebm_exp.run.load import load_run

RUNS = Path(__file__).with_name("released")
ENERGIES = {"0.3.0": [0.46498, 0.47754, 0.37130, 0.37529]}  # of the first digits, by the averaged weights
Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_a_release_is_the_same_everywhere_and_has_a_run() -> None:
    version, root = ebm_exp.__version__, Path(__file__).parents[2]
    cited = yaml.safe_load((root / "CITATION.cff").read_text())
    assert cited["version"] == version
    newest = re.search(r"^## (\S+) \((\S+)\)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.groups() == (version, str(cited["date-released"]))
    assert version in ENERGIES
    assert {path.name for path in RUNS.iterdir()} == ENERGIES.keys()


@pytest.mark.parametrize("version", ENERGIES)
def test_a_run_of_a_release_is_read_drawn_from_and_gone_on_with(version: str, cli: Cli, tmp_path: Path) -> None:
    run = shutil.copytree(RUNS / version, tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["versions"]["ebm-exp"], summary["step"]) == (version, 4)
    loaded = load_run(run, device="cpu")
    energies = loaded.energies(loaded.parts["dataset"].test()[:4])
    assert energies.tolist() == pytest.approx(ENERGIES[version], rel=1e-4)
    done = cli("sample.py", f"run={run}", "n_samples=4", f"output_dir={tmp_path}/drawn")
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "drawn" / "samples.npz")["x"].shape == (4, 1, 8, 8)
    done = cli("train.py", f"resume={run}", "trainer.max_steps=6")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "train/loss" in row] == [2, 4, 6]
    assert np.isfinite(rows[-2]["train/loss"])
    assert (run / "report.html").is_file()
