"""The default experiment draws digits: three numbers that only count together, over three seeds.

A Gaussian fitted to the digits passes the first and fails the second.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.datasets import load_digits
from sklearn.svm import SVC


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Fréchet distance of the Gaussians fitted to two samples [n, d]."""
    cx, cy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cx + cy - 2 * np.real(sqrtm(cx @ cy))))


def judge(x: np.ndarray) -> tuple[float, float, float]:
    """Pixel Fréchet distance to the 1,797 digits in [−1, 1], mean top probability of an SVC, smallest class share."""
    pixels, labels = load_digits(return_X_y=True)
    digits = pixels / 8 - 1
    classifier = SVC(C=10, gamma=0.02, probability=True, random_state=0).fit(digits, labels)
    flat = x.reshape(len(x), -1).astype(np.float64)
    probability = classifier.predict_proba(flat)
    shares = np.bincount(probability.argmax(1), minlength=10) / len(x)
    return frechet(flat, digits), float(probability.max(1).mean()), float(shares.min())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_default_run_draws_digits(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, seed: int
) -> None:
    done = cli("train.py", f"seed={seed}", f"hydra.run.dir={tmp_path}/run", "logger.mode=disabled")
    assert done.returncode == 0, done.stderr
    drawn = cli("sample.py", f"run={tmp_path}/run", "n_samples=1000", "start=uniform", f"output_dir={tmp_path}/drawn")
    assert drawn.returncode == 0, drawn.stderr
    distance, confidence, smallest = judge(np.load(tmp_path / "drawn" / "samples.npz")["x"])
    print(f"seed {seed}: Fréchet {distance:.3f}, confidence {confidence:.3f}, smallest class {smallest:.3f}")
    assert distance <= 0.40
    assert confidence >= 0.78
    assert smallest >= 0.03
