"""``| head``: a reader that goes away costs no traceback, and no run."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm import ROOT, SMALL, Warm, environment


def unread(*arguments: str, env: dict[str, str] | None = None, both: bool = False) -> tuple[int, str]:
    """The exit code of a script whose output has no reader, and what it wrote to the other stream."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment() | (env or {}),
            stdout=write,
            stderr=write if both else subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(write)
    return done.returncode, done.stderr or ""


def test_what_is_only_shown_ends_with_its_reader() -> None:
    assert unread("train.py", "--help") == (-signal.SIGPIPE, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("train.py", "--cfg", "job", "--resolve"),
        ("train.py", "--info", "defaults-tree"),
        ("train.py", "-sc", "install=bash"),
        ("sample.py", "--help"),
    ],
    ids=" ".join,
)
def test_whatever_is_only_shown(arguments: tuple[str, ...], warm: Warm, tmp_path: Path) -> None:
    assert warm.start([*arguments], environment(), None, tmp_path / "said").wait(60) == -signal.SIGPIPE
    assert (tmp_path / "said").read_text() == ""


def test_what_is_wrong_with_the_tables_may_be_cut_off(tmp_path: Path) -> None:
    tables = tmp_path / "docs" / "tables.py"
    for file in ("docs/tables.py", "ebm_exp/metrics.py", "ebm_exp/config/choices.py"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text((ROOT / file).read_text())
    (tmp_path / "README.md").touch()
    (tmp_path / "conf" / "dataset").mkdir(parents=True)
    for script in ("train", "sample"):
        (tmp_path / "conf" / f"{script}.yaml").write_text("defaults: [_self_]\n")
    assert unread(str(tables), "--check", both=True) == (-signal.SIGPIPE, "")


def test_a_training_goes_on_without_its_terminal(tmp_path: Path) -> None:
    run, env = tmp_path / "run", {"PYTHONUNBUFFERED": "1"}
    assert unread("train.py", *SMALL, "trainer.log_every_steps=1", f"hydra.run.dir={run}", env=env, both=True)[0] == 0
    assert json.loads((run / "summary.json").read_text())["state"] == "finished"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_sweep_goes_on(warm: Warm, tmp_path: Path) -> None:
    command = ["train.py", "-m", *SMALL, "seed=0,1", f"hydra.sweep.dir={tmp_path}/s"]
    assert warm.start(command, environment(), None, tmp_path / "said").wait(120) == 0
    assert not re.search("Traceback|BrokenPipe|Logging error", (tmp_path / "said").read_text())
    ended = [json.loads((tmp_path / "s" / str(i) / "summary.json").read_text())["state"] for i in range(2)]
    assert ended == ["finished", "finished"]


def test_what_is_drawn_is_kept(trained: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    code, said = unread("sample.py", f"run={trained}", "n_samples=4", f"output_dir={drawn}")
    assert (code, said) == (0, "")
    assert (drawn / "samples.npz").is_file()
