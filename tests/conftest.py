"""Helpers every test folder shares: the command line as a user starts it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import pytest

# Every call of ebm_exp under test is checked against its signature, shapes included: what it says must be true. Before
# the first import of ebm_exp. An int is a float (PEP 484); Self means nothing to a method that is decorated by itself.
CHECKS = "is_pep484_tower=True, hint_overrides=beartype.FrozenDict({beartype.typing.Self: beartype.typing.Any})"
jaxtyping.install_import_hook("ebm_exp", f"beartype.beartype(conf=beartype.BeartypeConf({CHECKS}))")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures are not checked, as when a user runs it: for what the package itself says of a wrong type."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


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
