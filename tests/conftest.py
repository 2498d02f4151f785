"""Helpers every test folder shares: the command line as a user starts it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``train.py`` or ``sample.py`` in a process of its own, W&B below tmp_path."""

    def run(script: str, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        extra = [] if script == "sample.py" or "--cfg" in arguments else [f"logger.dir={tmp_path}"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "HYDRA_"))}
        return subprocess.run(
            [sys.executable, script, *arguments, *extra],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
        )

    return run
