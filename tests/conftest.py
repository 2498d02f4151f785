"""Helpers every test folder shares: the command line as a user starts it, and a run that was trained with it."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import pytest

from tests.warm import ROOT, SMALL, Warm, environment, warm_parent

gc.disable()  # until all is imported: it stays, and to look for garbage in it takes a tenth of the time of its import
# Every call of ebm_exp under test is checked against its signature, shapes included: what it says must be true. Before
# the first import of ebm_exp. An int is a float (PEP 484); Self means nothing to a method that is decorated by itself.
CHECKS = "is_pep484_tower=True, hint_overrides=beartype.FrozenDict({beartype.typing.Self: beartype.typing.Any})"
jaxtyping.install_import_hook("ebm_exp", f"beartype.beartype(conf=beartype.BeartypeConf({CHECKS}))")


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look through it in every test. Nor does any lose its
    machine: what is written need not be forced to the disk.

    Configs are composed as quickly as a command does it.
    """
    from ebm_exp.cli.process import hasten_hydra  # below the hook

    hasten_hydra()
    os.fsync = lambda fd: None
    gc.freeze()
    gc.enable()


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures are not checked, as when a user runs it: for what the package itself says of a wrong type."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def warm() -> Warm:
    """Forks what has its imports behind it: tests/warm.py."""
    return warm_parent()


@pytest.fixture
def cli(tmp_path: Path, warm: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``train.py`` or ``sample.py`` in a process of its own, W&B below tmp_path; ``process`` starts Python anew."""

    def run(
        script: str, *arguments: str, timeout: float = 240, process: bool = False
    ) -> subprocess.CompletedProcess[str]:
        extra = [] if "--cfg" in arguments or not any("=" in each for each in arguments) else [f"logger.dir={tmp_path}"]
        if not process:
            return warm.run([script, *arguments, *extra], environment(), tmp_path, timeout)
        return subprocess.run(
            [sys.executable, script, *arguments, *extra],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment(),
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def trained(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run on digits, to be read: a test that changes it takes a copy."""
    folder = tmp_path_factory.mktemp("trained")
    done = warm.run(["train.py", *SMALL, f"hydra.run.dir={folder}/run"], environment(), folder, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder / "run"
