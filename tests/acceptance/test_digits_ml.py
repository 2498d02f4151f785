"""``experiment=digits_ml``: fewer bits per dimension than densities fitted to the same digits, from both sides."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from ebm_exp.dataset import Digits
from ebm_exp.random import generator
from ebm_exp.run import load_run

pytestmark = pytest.mark.slow
LEVELS, D = 17, 64


def bits(n_components: int) -> float:
    """Of a mixture of Gaussians on the held-out digits, its regularisation the best of four for them."""
    data = Digits("digits", torch.device("cpu"), test_share=0.2, dequantize=True, noise_std=0.0)
    g = generator("cpu", "mixture")
    seen = data.noisy(10 * data.n_train, g).x.flatten(1).double().numpy()
    held = np.concatenate([data.held_out(g).flatten(1).double().numpy() for _ in range(10)])
    nll = min(
        -GaussianMixture(n_components, reg_covar=reg, random_state=0).fit(seen).score(held)
        for reg in (1e-6, 1e-4, 1e-3, 3e-3)
    )
    return (nll - D * np.log(2 / LEVELS)) / D / np.log(2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_beats_a_gaussian_and_a_mixture(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, seed: int
) -> None:
    run = tmp_path / "run"
    done = cli("train.py", "experiment=digits_ml", f"seed={seed}", f"hydra.run.dir={run}", timeout=1200)
    assert done.returncode == 0, done.stderr
    scores = [row for row in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "eval/ais_bpd" in row]
    last = {name.removeprefix("eval/ais_"): value for name, value in scores[-1].items()}
    assert abs(last["gap"]) <= 0.5
    assert last["r_hat"] < 1.1
    assert last["bpd_reverse"] < bits(10) - 0.5
    assert last["bpd_reverse"] < bits(1) - 0.8
    model = load_run(run)
    dataset, energy = model.parts["dataset"], model.energy
    g = generator("cpu", "base")
    gains = torch.stack([-energy.network(dataset.held_out(g)).detach().double() for _ in range(20)]).mean(0)
    gains = gains - last["log_z_reverse"]  # log p − log q of its base, of each held-out digit
    assert gains.mean() > 5 * gains.std() / len(gains) ** 0.5
