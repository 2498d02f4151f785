"""Two moons: fresh chains close to held-out data over three seeds, and a gap that stays small for 20,000 steps."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ebm_exp.dataset import TwoMoons
from ebm_exp.energy import Gaussian
from ebm_exp.evaluator import MMD
from tests.evaluator.scoring import scored

Cli = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = ("train.py", "dataset=two_moons", "energy=mlp", "logger.mode=disabled")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fresh_chains_follow_the_data(cli: Cli, tmp_path: Path, seed: int) -> None:
    done = cli(*COMMAND, f"seed={seed}", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["step"] >= 3000
    drawn = cli("sample.py", f"run={tmp_path}/run", "n_samples=2000", f"output_dir={tmp_path}/drawn", "seed=7")
    assert drawn.returncode == 0, drawn.stderr
    x = torch.from_numpy(np.load(tmp_path / "drawn" / "samples.npz")["x"])
    held_out = TwoMoons("held out", torch.device("cpu"), seed, half_width=2.5, n_train=1, n_test=2000)
    value = scored(MMD(held_out, 2000, (0.05, 0.2, 0.5, 1.0)), Gaussian((2,)), x)["mmd2"]
    print(f"seed {seed}: MMD² {value:.5f} in {summary['minutes'] * 60:.0f} s")
    assert value <= 0.005


@pytest.mark.slow
def test_the_gap_stays_small(cli: Cli, tmp_path: Path) -> None:
    arguments = ("trainer.max_steps=20000", "evaluator=none", "trainer.image_every_steps=20000")
    done = cli(*COMMAND, *arguments, "trainer.log_every_steps=1", f"hydra.run.dir={tmp_path}/run", timeout=1500)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    gaps = [abs(row["train/energy_gap"]) for row in rows if row["step"] > 500]
    assert len(gaps) == 19_500
    print(f"largest |gap| after 500 steps: {max(gaps):.3f}")
    assert max(gaps) < 5
