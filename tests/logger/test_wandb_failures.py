"""W&B: a training goes on whatever becomes of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ebm_exp.logger import Files, Picture, WandbRun, wandb_logger
from tests.logger.offline import KEY, about, read_back, session


def test_an_unreachable_server_leaves_an_offline_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: Callable[[], list[str]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    import wandb

    init = wandb.init

    def no_network(mode: str, **arguments: Any) -> Any:
        if mode == "online":
            raise wandb.errors.CommError("no route to host\nand more")
        return init(mode=mode, **arguments)

    monkeypatch.setattr(wandb, "init", no_network)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    run = WandbRun("auto", dir=str(tmp_path))
    session(run, tmp_path, "abcd1234")
    assert (run.id, run.mode_used) == ("abcd1234", "offline")
    assert warnings() == ["W&B cannot be used (no route to host); logging offline"]
    assert read_back(tmp_path, "abcd1234")[0]["history"][0]["item"]["train/loss"] == 0.5
    assert "wandb" not in "".join(capfd.readouterr())


def test_a_server_that_does_not_answer_leaves_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setattr(wandb_logger, "_INIT_TIMEOUT", 1)
        run = WandbRun(dir=str(tmp_path))
        began = time.monotonic()
        session(run, tmp_path)
        assert time.monotonic() - began < 30
    assert run.mode_used == "offline"
    assert len(warnings()) == 1
    assert warnings()[0].endswith("logging offline")
    assert [line.split()[1] for line in run.hint()] == ["leet", "sync"]


def test_nothing_of_wandb_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    import wandb

    def broken(**arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wandb, "init", broken)
    run = WandbRun("offline", dir=str(tmp_path))
    run.start(about(tmp_path), "abcd1234")
    run.log({"a": 1.0}, 1)
    run.summary({"b": 1.0})
    run.finish(0)
    assert (run.id, run.mode_used, run.hint()) == ("abcd1234", "disabled", [])
    assert warnings() == ["W&B cannot be used ([Errno 28] No space left on device); going on without it"]


VERBS = {
    "log": "log",
    "summary": "keep a summary",
    "alert": "alert",
    "keep": "keep files",
    "finish": "finish",
}


@pytest.mark.parametrize("method", VERBS)
def test_an_error_of_wandb_is_told_once_and_the_training_goes_on(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
) -> None:
    run = WandbRun("offline", dir=str(tmp_path))
    run.start(about(tmp_path))

    class Broken:
        settings = run._run.settings
        id = "abcd1234"

        def __getattr__(self, name: str) -> Any:
            raise ConnectionResetError("Connection lost\nand more")

    monkeypatch.setattr(run, "_run", Broken())
    image = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(image)
    for step in range(2):
        match method:
            case "log":
                run.log({"a": 1.0, "b": Picture(image)}, step)
                run.commit()
            case "summary":
                run.summary({"a": 1})
            case "alert":
                run.alert("it failed", "why")
            case "keep":
                run.keep(Files("checkpoint", "model", (image,), {}))
            case "finish":
                run.finish(0)
    assert warnings() == [f"W&B could not {VERBS[method]} (Connection lost); going on without it"]
    run.finish(0)
    assert len(warnings()) == 1
    assert run.hint()[1].startswith("wandb sync ")  # what was written can be uploaded


def test_a_file_that_has_gone_costs_what_was_logged_with_it_and_no_training(
    tmp_path: Path, warnings: Callable[[], list[str]]
) -> None:
    run = WandbRun("offline", dir=str(tmp_path))
    run.start(about(tmp_path))
    run.keep(Files("checkpoint", "model", (tmp_path / "none.pt",), {}))
    run.finish(0)
    assert len(warnings()) == 1
    assert warnings()[0].startswith("W&B could not keep files (")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
def test_the_helper_process_of_wandb_dies_or_freezes(name: str, tmp_path: Path) -> None:
    """In a process of its own, whose end must be in order too, and in which a later run gets a helper of its own."""
    code = f"""
import logging, os, pathlib, signal, subprocess, sys
logging.basicConfig(format="%(message)s")
from ebm_exp.logger import About, WandbRun, wandb_logger
wandb_logger._CALL_TIMEOUT = 2
folder = pathlib.Path(sys.argv[1])
run = WandbRun("offline", dir=str(folder))
run.start(About("x", folder))
run.log({{"a": 1.0}}, 1)
children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
(helper,) = [int(line.split()[0]) for line in children.stdout.splitlines() if "wandb-core" in line]
os.kill(helper, signal.{name})
print(helper, flush=True)
for step in range(2, 300):
    run.log({{f"metric {{i}}": float(step) for i in range(1000)}}, step)
run.finish(0)
other = WandbRun("offline", dir=str(folder))
other.start(About("x", folder))
other.log({{"a": 1.0}}, 1)
other.finish(0)
assert other.mode_used == "offline"
"""
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"  # no pipes: a frozen helper would hold them open
    with out.open("w") as stdout, err.open("w") as stderr:
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, stdout=stdout, stderr=stderr, timeout=90, check=False)
    if name == "SIGSTOP":
        os.kill(int(out.read_text().split()[0]), signal.SIGKILL)
    assert done.returncode == 0, err.read_text()
    (warning,) = err.read_text().splitlines()
    assert warning.startswith("W&B could not ")
    assert warning.endswith("going on without it")


def test_disabled_imports_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from ebm_exp.logger import About, WandbRun; r = WandbRun('disabled');"
        "r.start(About('x', pathlib.Path('.'))); r.log({'a': 1.0}, 1); r.finish(0);"
        "assert 'wandb' not in sys.modules and r.hint() == []"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
