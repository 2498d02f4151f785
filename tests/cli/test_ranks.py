"""``torchrun``: several processes train as one, go on as they were, and end together."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ebm_exp.config.errors import UserError
from ebm_exp.ranks import ALONE
from ebm_exp.run.checkpoint import read_state
from ebm_exp.run.directory import RunDirectory
from tests.warm import begins_with

Launch = Callable[..., subprocess.CompletedProcess[str]]
PLANE = (
    *("dataset=two_moons", "objective=energy_discrepancy", "energy.widths=[16]", "optimizer=sgd", "schedule=constant"),
    *("trainer.max_steps=20", "trainer.batch_size=64", "evaluator=none", "device=cpu", "sampling.n_steps=5"),
)


def test_two_processes_train_as_one(cli: Launch, tmp_path: Path) -> None:
    runs = tmp_path / "one", tmp_path / "two"
    assert cli("train.py", *PLANE, f"hydra.run.dir={runs[0]}").returncode == 0
    done = cli("tests/ranks.py", "2", "train.py", *PLANE, f"hydra.run.dir={runs[1]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ranks     2, of 32 points each") == 1  # the first one alone speaks
    one, two = (torch.load(run / "checkpoints/step_00000020.pt")["parts"]["energy"] for run in runs)
    for name, value in one.items():
        assert (value - two[name]).norm() <= 1e-4 * value.norm(), name


RUN = (
    *("dataset=digits", "energy.widths=[16]", "sampler.n_steps=3", "sampling.n_steps=5", "trainer.batch_size=24"),
    *("buffer.size=120", "evaluator=none", "trainer.max_steps=9", "trainer.checkpoint_every_steps=3", "device=cpu"),
    *("trainer.log_every_steps=3", "trainer.keep_checkpoints=9", "schedule=constant"),
)


def test_two_processes_go_on_as_if_nothing_had_been(cli: Launch, tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    done = cli("tests/ranks.py", "2", "train.py", *RUN, f"hydra.run.dir={whole}")
    assert "torchrun --nproc-per-node 2 train.py resume=" in done.stdout
    shutil.copytree(whole, run)
    for file in (run / "checkpoints").glob("step_0000000[69]*"):
        file.unlink()
    assert cli("tests/ranks.py", "2", "train.py", f"resume={run}").returncode == 0
    for name in ("step_00000009.pt", "step_00000009.rank_1.pt"):
        first, second = (torch.load(each / "checkpoints" / name) for each in (whole, run))
        parts = [pytree.tree_leaves_with_path(each["parts"]) for each in (first, second)]
        for (path, a), (_, b) in zip(*parts, strict=True):
            assert torch.equal(a, b) if isinstance(a, Tensor) else a == b, path
    own = [torch.load(whole / "checkpoints" / name)["parts"]["buffer"]["x"] for name in ("step_00000009.pt", name)]
    assert own[0].shape == own[1].shape == (60, 1, 8, 8)
    assert not torch.equal(*own)
    file = run / "checkpoints" / name
    whole_file = file.read_bytes()
    for wrong in (5, {"buffer": 5}, {"buffer": {}}):
        torch.save({"parts": wrong}, file)
        with pytest.raises(UserError, match=r"^run: .*step_00000009"):
            read_state(RunDirectory(run), 9, ranks=ALONE)
    file.write_bytes(whole_file)
    alone = cli("train.py", f"resume={run}", "trainer.max_steps=10")
    assert alone.returncode == 0, alone.stderr
    assert "resume: trained on 2 ranks so far, on 1 now; its chains are dealt anew" in alone.stderr + alone.stdout
    assert torch.load(run / "checkpoints/step_00000010.pt")["parts"]["buffer"]["x"].shape[0] == 120


def test_a_rank_that_is_killed_ends_the_others(cli: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    monkeypatch.setenv("EBM_KILL", f"1:{run}/checkpoints/step_00000003.pt")
    endless = ("trainer.max_steps=50000", "trainer.log_every_steps=1000", f"hydra.run.dir={run}")
    killed = cli("tests/ranks.py", "2", "train.py", *RUN, *endless)
    assert killed.returncode != 0
    last = killed.stderr.splitlines()[-1]  # whoever started them may have asked it to stop before it saw
    assert last.startswith("rank 0: another process of this training has ended")
    said = json.loads((run / "summary.json").read_text())
    assert (said["state"], said["ranks"]) == ("failed", 2)
    assert "the newest checkpoint is of step" in said["reason"]


FULL = """
import os
from ebm_exp.trainer import update
step = update.Update.__call__
def fail(self, number, *rest):
    if number == 4 and os.environ["RANK"] == "0":
        raise OSError(28, "No space left on device", "metrics.jsonl")
    return step(self, number, *rest)
update.Update.__call__ = fail
"""


def test_what_one_meets_alone_holds_nobody_up(cli: Launch, tmp_path: Path) -> None:
    done = cli("tests/ranks.py", "2", begins_with(FULL, tmp_path), "train.py", *RUN, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 2
    assert "metrics.jsonl: no space left on device" in done.stderr
    assert "rank 1: another process of this training has ended" in done.stderr


def test_several_processes_are_for_a_training(cli: Launch) -> None:
    for words, told in ((["train.py", "-m", "seed=1,2"], "-m: "), (["sample.py", "run=nothing"], "torchrun: ")):
        refused = cli("tests/ranks.py", "2", *words)
        assert refused.returncode == 2
        assert told in refused.stderr
