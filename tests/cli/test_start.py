"""What a start costs: what only looks imports no torch, and Hydra composes once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm import ROOT, SMALL, Warm, environment

BARE = """
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
with initialize_config_dir({conf!r}, version_base="1.3"):
    print(OmegaConf.to_yaml(compose("train"), resolve=True))
"""
COUNTING = """
import os
from hydra._internal.config_loader_impl import ConfigLoaderImpl as Loader

compose = Loader._compose_config_from_defaults_list

def counted(*arguments, **named):
    with open(os.environ["COUNTED"], "a") as file:
        file.write("x")
    return compose(*arguments, **named)

Loader._compose_config_from_defaults_list = counted
from ebm_exp.cli import commands
getattr(commands, os.environ["PROGRAM"])()
"""


def cpu_seconds(*commands: tuple[str, ...]) -> list[float]:
    """The least of three runs of each, one after the other in turn."""
    env, spent = environment() | {"OMP_NUM_THREADS": "1"}, [[] for _ in commands]
    for _ in range(3):
        for command, times in zip(commands, spent, strict=True):
            before = os.times()
            subprocess.run([sys.executable, *command], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, check=True)
            after = os.times()
            times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return [min(times) for times in spent]


def test_a_look_costs_little_more_than_to_compose() -> None:
    """Against a script that composes the same files; the help asks Hydra for nothing."""
    bare, imported = ("-c", BARE.format(conf=str(ROOT / "conf"))), ("-c", "import hydra.main, hydra._internal.hydra")
    look, ask = ("train.py", "--cfg", "job", "--resolve"), ("train.py", "--help")
    shown, script, helped, hydra = cpu_seconds(look, bare, ask, imported)
    assert shown < 1.25 * script
    assert helped < hydra


@pytest.mark.parametrize(
    ("program", "typed", "n"),
    [
        ("train", ("--cfg", "job", "optimizer.eps=1e-7"), 1),  # which its file leaves to the constructor
        ("train", ("--hydra-help",), 1),
        ("train", (*SMALL, "optimizer.eps=1e-7", "experiment=digits", "optimizer=adam", "hydra.run.dir={out}"), 1),
        ("train", ("resume={run}", "trainer.max_steps=4"), 1),
        ("sample", ("run={run}", "n_samples=4", "output_dir={out}"), 1),
        ("evaluate", ("run={run}", "evaluator=mmd", "evaluator.mmd.n_samples=16", "output_dir={out}"), 1),
        # The sweep; a job without what varies, for the defaults; each job in the plan and where it runs.
        ("train", ("-m", *SMALL, "seed=1,2", "hydra.sweep.dir={out}"), 1 + 1 + 2 * 2),
    ],
)
def test_compositions(program: str, typed: tuple[str, ...], n: int, warm: Warm, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    script, counted = tmp_path / "script.py", tmp_path / "counted"
    script.write_text(COUNTING)
    words = [word.format(run=run, out=tmp_path / "out") for word in typed]
    done = warm.run([str(script), *words], environment() | {"COUNTED": str(counted), "PROGRAM": program}, tmp_path, 120)
    assert done.returncode == 0, done.stderr
    assert len(counted.read_text()) == n
