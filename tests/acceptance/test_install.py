"""Installed from a wheel, not editable: conf/ travels, the commands work from any folder."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("trainer.max_steps=20", "evaluator=none", "optimized_metric=null", "logger.mode=disabled")


@pytest.mark.slow
@pytest.mark.network
def test_the_wheel_trains_and_draws_from_another_folder(tmp_path: Path) -> None:
    """In an environment of its own, which borrows the dependencies of this one."""
    home, away = tmp_path / "env", tmp_path / "away"
    venv.create(home, with_pip=True)
    away.mkdir()
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    python, environment = str(home / "bin" / "python"), {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    (site,) = home.glob("lib/python*/site-packages")

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(python, "-m", "pip", "install", "--no-deps", str(ROOT))
    (site / "borrowed.pth").write_text(packages + "\n")  # after its own: the wheel comes first
    assert str(site) in run(python, "-c", "import ebm_exp; print(ebm_exp.__file__)")
    said = run(str(home / "bin" / "ebm-train"), *SMALL, "name=abroad")
    assert "draw samples   ebm-sample run=outputs/abroad/" in said
    (trained,) = (away / "outputs" / "abroad").iterdir()
    run(str(home / "bin" / "ebm-sample"), f"run={trained}", "n_samples=4")
    (drawn,) = (trained / "draws").iterdir()
    assert (drawn / "samples.png").is_file()
    loaded = f"from ebm_exp.run import load_run; print(load_run({str(trained)!r}).draw(2).x.shape)"
    assert "torch.Size([2, 1, 8, 8])" in run(python, "-c", loaded)


@pytest.mark.slow
@pytest.mark.network
def test_what_is_uploaded_passes_the_checks_of_the_index(tmp_path: Path) -> None:
    """A source distribution, and the wheel that is built from it."""
    home, dist = tmp_path / "env", tmp_path / "dist"
    venv.create(home, with_pip=True)
    pip, python = home / "bin" / "pip", home / "bin" / "python"

    def run(*command: object) -> None:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run(pip, "install", "build", "twine", "setuptools>=77")
    run(python, "-m", "build", "--no-isolation", "--outdir", dist, ROOT)
    run(python, "-m", "twine", "check", "--strict", *dist.iterdir())
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert {"ebm_exp/py.typed", "ebm_exp/conf/train.yaml", "ebm_exp/report/style.css"} <= names
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "conf/train.yaml", "tests/conftest.py", "train.py"} <= held
