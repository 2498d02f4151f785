"""Runs as one density, from the command line, against the exact product and mixture by quadrature."""

import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ebm_exp.energy import Energy
from ebm_exp.run import load_run
from tests.warm import Warm, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def runs(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two analytic energies in one box, a few steps from where they began: their own values do not matter."""
    energies = [
        ["energy=gaussian", "energy.mean=[1.0, 0.5]", "energy.std=1.2"],
        ["energy=mixture", "energy.centres=[[-1.5, 0.0], [1.5, 0.0]]", "energy.std=0.8"],
    ]
    small = ["trainer.max_steps=3", "trainer.batch_size=16", "dataset.n_train=100", "dataset.n_test=100"]
    quiet = ["evaluator=none", "logger.mode=disabled", "sampling.n_steps=5", "device=cpu"]
    made = []
    for energy in energies:
        folder = tmp_path_factory.mktemp("compose")
        command = ["train.py", "dataset=gaussian", *energy, *small, *quiet, f"hydra.run.dir={folder}/run"]
        done = warm.run(command, environment(), folder)
        assert done.returncode == 0, done.stderr
        made.append(folder / "run")
    return made


def densities(runs: list[Path]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Midpoints of cells, and each run's probabilities of them."""
    loaded = [load_run(run) for run in runs]
    domain = loaded[0].parts["dataset"].domain
    edges = torch.linspace(domain.low, domain.high, 801, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    points = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1).view(-1, 2)

    def log_p(energy: Energy) -> torch.Tensor:
        with torch.no_grad():
            return (-energy(points.float()).double()).log_softmax(0)

    return points, [log_p(run.energy) for run in loaded]


@pytest.mark.parametrize("operation", ["product", "mixture", "negation"])
def test_chains_have_the_composed_law(cli: Cli, runs: list[Path], tmp_path: Path, operation: str) -> None:
    n = 4000
    done = cli(
        "sample.py", f"run=[{runs[0]},{runs[1]}]", "mode=compose", f"mode.operation={operation}", "sampler=jump",
        "n_steps=60", "sampler.n_local=3", f"n_samples={n}", f"output_dir={tmp_path}/drawn",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    points, (a, b) = densities(runs)
    log_p = {"product": a + b, "mixture": torch.logaddexp(a, b), "negation": a - 0.5 * b}[operation].log_softmax(0)
    x = torch.from_numpy(np.load(tmp_path / "drawn" / "samples.npz")["x"]).double()
    for moment in (lambda x: x[:, 0], lambda x: x[:, 1], lambda x: x[:, 0].square(), lambda x: (x[:, 0] > 0).double()):
        mean = float((log_p.exp() * moment(points)).sum())
        std = math.sqrt(float((log_p.exp() * moment(points).square()).sum()) - mean**2)
        assert abs(float(moment(x).mean()) - mean) < 5 * std / math.sqrt(n)
    assert Image.open(tmp_path / "drawn" / "compose.png").width > 1000


def test_what_does_not_fit_is_refused(cli: Cli, runs: list[Path], tmp_path: Path) -> None:
    both = f"run=[{runs[0]},{runs[1]}]"
    wrong = cli("sample.py", both, "mode=compose", "mode.coefficients=[1,2,3]", f"output_dir={tmp_path}/a")
    assert wrong.returncode == 2
    assert "mode.coefficients: needs one for each of the 2 runs" in wrong.stderr
    nowhere = cli("sample.py", f"run=[{runs[0]},/nowhere]", "mode=compose", f"output_dir={tmp_path}/b")
    assert nowhere.returncode == 2
    assert "/nowhere" in nowhere.stderr
