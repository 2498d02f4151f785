"""A conditional energy draws the class it is asked for."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import SVC


@pytest.mark.slow
def test_conditional_digits_are_those_asked_for(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = cli("train.py", "energy.conditional=true", f"hydra.run.dir={tmp_path}/run", "logger.mode=disabled")
    assert done.returncode == 0, done.stderr
    asked = "label=[0,1,2,3,4,5,6,7,8,9]"
    drawn = cli("sample.py", f"run={tmp_path}/run", asked, "n_samples=1000", f"output_dir={tmp_path}/drawn")
    assert drawn.returncode == 0, drawn.stderr
    samples = np.load(tmp_path / "drawn" / "samples.npz")
    pixels, labels = load_digits(return_X_y=True)
    classifier = SVC(C=10, gamma=0.02, random_state=0).fit(pixels / 8 - 1, labels)
    agrees = classifier.predict(samples["x"].reshape(1000, -1).astype(np.float64)) == samples["y"]
    assert (np.bincount(samples["y"]) == 100).all()
    print("agreement by class:", [float(agrees[samples["y"] == k].mean()) for k in range(10)])
    assert agrees.mean() >= 0.8
