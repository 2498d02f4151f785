"""A command that is typed before the environment is activated says so in one line."""

import subprocess
import sys

import pytest

from tests.warm import ROOT


@pytest.mark.parametrize("command", ["train.py", "sample.py", "evaluate.py"])
def test_another_python_is_named(command: str) -> None:
    done = subprocess.run([sys.executable, "-S", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{sys.executable} has no ")
    assert "source .venv/bin/activate" in done.stderr
    assert done.stderr.count("\n") == 1
