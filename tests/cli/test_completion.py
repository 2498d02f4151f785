"""Completion at Tab: what is offered by the engine, and in a real bash on a terminal."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ebm_exp.cli import completion
from ebm_exp.config.trust import CONF
from tests.warm import ROOT, environment


def offered(line: str, script: str = "train") -> list[str]:
    return completion.complete(f"python {script}.py {line}", script)


@pytest.mark.parametrize(
    ("line", "exactly"),
    [
        ("sampler=m", ["sampler=mala"]),
        ("energy=mlp,co", ["energy=mlp,conv"]),
        ("experiment=plane/two_m", ["experiment=plane/two_moons"]),
        ("start@buffer.start=no", ["start@buffer.start=normal"]),
        ("device=", ["device=auto", "device=cpu", "device=cuda"]),
        ("engine.precision=", ["engine.precision=auto", "engine.precision=bf16", "engine.precision=float32"]),
        ("energy=igebm energy.pool=", ["energy.pool=mean", "energy.pool=sum"]),  # of the choice that was typed
        ("energy.po", []),  # not of another
        ("energy=igebm energy.skip_kernel=", ["energy.skip_kernel=1", "energy.skip_kernel=3"]),
        ("logger.mode=of", ["logger.mode=offline"]),  # by a name of its own for the values
        ("dataset=image_folder dataset.channels=n", ["dataset.channels=null"]),
        ("buffer=fifo buffer.storage=", ["buffer.storage=float32", "buffer.storage=uint8"]),  # of a base class
        ("trust=", ["trust=false", "trust=true"]),
        ("seed=", ["seed=0"]),
        ("sampler.ste", ["sampler.step_size="]),
        ("sampler=hmc sampler.n_l", ["sampler.n_leapfrog="]),
        ("++engine.prec", ["++engine.precision="]),  # a key that the YAML may leave to the constructor
        ("~regularization.energy", ["~regularization.energy_l2."]),
        ("optim", ["optimized_metric=", "optimizer.", "optimizer="]),
        ("augmentation@", ["augmentation@data_augmentation="]),
        ("--cf", ["--cfg"]),
        ("--info def", ["defaults", "defaults-tree"]),
        ("hydra/l", ["hydra/launcher="]),
        ("hydra/launcher=j", ["hydra/launcher=joblib"]),
        ("hydra/launcher=sl", ["hydra/launcher=slurm"]),
        ("'sampler=ma", ["sampler=mala"]),
        ("no_such_", []),
        ("energy=typo sampler.", []),  # cannot be composed
    ],
)
def test_offered(line: str, exactly: list[str]) -> None:
    assert offered(line) == exactly


def test_nothing_typed_is_every_group_and_key() -> None:
    found = offered("")
    assert {"dataset=", "sampler.", "experiment=", "debug=", "seed=", "resume="} <= set(found)
    assert "start=" not in found


def test_every_top_level_key_that_is_offered_may_be_typed() -> None:
    keys = [key for key in offered("") if re.fullmatch(r"\w+=", key)]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[key + "null" for key in keys if not (CONF / key[:-1]).is_dir()])
    assert OmegaConf.is_dict(config)


def test_runs(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained / ".hydra", tmp_path / "digits" / "a run" / ".hydra").parent
    (tmp_path / "digits" / "a file").touch()
    for key, script in (("resume", "train"), ("init_from", "train"), ("run", "sample")):
        assert offered(f"{key}={tmp_path}/d", script) == [f"{key}={tmp_path}/digits/"]
        escaped = f"{key}={tmp_path}/digits/a\\ run"
        assert offered(f"{key}={tmp_path}/digits/", script) == [escaped]
        assert offered(f"{key}={tmp_path}/digits/a\\ r", script) == [escaped]
    assert offered(f"run=[{run.parent}/x,{run.parent}/", "sample")[0].endswith("digits/a\\ run")


def test_keys_of_a_run(trained: Path) -> None:
    assert offered(f"run={trained} mode=compose mode.operation=m", "sample") == ["mode.operation=mixture"]
    assert offered(f"run={trained} energy.widths", "sample") == ["energy.widths="]
    assert offered(f"run=[{trained},{trained}/nowhere] energy.widths", "evaluate") == []
    assert offered(f"run=[{trained},{trained}] energy.widths", "evaluate") == ["energy.widths="]
    assert offered("top", "evaluate") == ["top="]
    assert "start=data" in offered("start=", "sample")
    assert offered("weights=", "sample") == ["weights=ema", "weights=online"]


def test_a_tab_imports_no_torch() -> None:
    command = [sys.executable, "-X", "importtime", "train.py", "-sc", "query=bash"]
    env = environment() | {"COMP_LINE": "python train.py energy=igebm energy.pool="}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["energy.pool=mean", "energy.pool=sum"]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "omegaconf" in imported
    assert "torch" not in imported


class Terminal:
    """An interactive bash behind a pseudo-terminal."""

    def __init__(self, env: dict[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)

    def until(self, words: str, seconds: float = 30.0) -> str:
        text, deadline = "", time.monotonic() + seconds
        while words not in text:
            assert time.monotonic() < deadline, text
            if select.select([self.fd], [], [], 0.2)[0]:
                text += os.read(self.fd, 65536).decode()
        return text

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "ebm-sample").write_text(f"#!{sys.executable}\nfrom ebm_exp.cli.commands import sample\nsample()\n")
    for command in ("python", "ebm-sample"):
        (tmp_path / command).chmod(0o755)
    env = environment() | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    shell = Terminal(env | {"PS1": "> ", "COLUMNS": "400"})
    shell.until("> ")
    shell.type("bind 'set show-all-if-ambiguous on'; bind 'set enable-bracketed-paste off'; stty cols 400\n")
    shell.type(f'eval "$({sys.executable} train.py -sc install=bash)"; echo rea""dy\n')
    shell.until("ready")
    yield shell
    os.close(shell.fd)
    os.waitpid(shell.pid, 0)


def test_in_bash(terminal: Terminal, trained: Path) -> None:
    def line(typed: str, shown: str) -> None:
        terminal.type(typed + "\t")
        terminal.until(shown)
        terminal.type("\x15")  # Ctrl-U

    line("python train.py sampler.step_s", "sampler.step_size=")
    line("python train.py engine.precision=b", "engine.precision=bf16 ")
    line("python train.py device=", "auto  cpu   cuda")
    line("python train.py experiment=du2019/ima", "experiment=du2019/imagenet32 ")
    line(f"python train.py resume={trained.parent}/r", f"resume={trained} ")
    line(f"ebm-sample run={trained} mode=inp", "mode=inpaint ")
    line("python docs/tab", "docs/tables.py ")  # other scripts are left alone
    line("python docs/tables.py REA", "README.md ")
