"""A run that begins or goes on by one command, that two processes want, that goes on otherwise, that is not healthy."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.saved import find_start
from ebm_exp.config.errors import UserError
from ebm_exp.run import load_run
from ebm_exp.run.about import checksum
from tests.warm import SMALL, Warm, begins_with, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]
NULL = Path(os.devnull)
PLANE = ("dataset=two_moons", "energy.widths=[32]", "sampler.n_steps=5", "evaluator=none", "optimized_metric=null")
PLANE += ("logger.mode=disabled", "device=cpu", "sampling.n_steps=5", "trainer.image_every_steps=100000")


def rows(run: Path) -> list[dict[str, float]]:
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in read]


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def states(run: Path, step: int) -> tuple[Any, Any]:
    state = torch.load(run / "checkpoints" / f"step_{step:08d}.pt", weights_only=True)
    return state["parts"], state["ema"]


def wait_for(what: Path | Callable[[], bool], seconds: float = 60) -> None:
    there = what.exists if isinstance(what, Path) else what
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_one_command_begins_a_run_and_goes_on_with_it(cli: Cli, warm: Warm, tmp_path: Path) -> None:
    steps = ("trainer.max_steps=300", "trainer.checkpoint_every_steps=100", "trainer.log_every_steps=50")
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert cli("train.py", *PLANE, *steps, f"hydra.run.dir={whole}").returncode == 0
    command = ["train.py", *PLANE, *steps, f"hydra.run.dir={run}", "resume=auto"]
    for file in ("summary.json", "checkpoints/step_00000100.pt", "checkpoints/step_00000200.pt"):
        child = warm.start(command, environment(), NULL, NULL)
        wait_for(run / file)
        child.kill()
        child.wait(20)
    last = cli(*command)
    assert last.returncode == 0, last.stderr
    assert rows(run) == rows(whole)
    for a, b in zip(states(run, 300), states(whole, 300), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    other = cli(*command, "optimizer.lr=0.1")
    assert (other.returncode, other.stderr) == (
        2, f"resume: {run} holds a run that began without optimizer.lr=0.1; another folder begins one\n"
    )  # fmt: skip
    fewer = cli(*(a for a in command if a != "sampler.n_steps=5"))
    assert (fewer.returncode, fewer.stderr) == (
        2, f"resume: {run} holds a run that began with sampler.n_steps=5; another folder begins one\n"
    )  # fmt: skip
    assert cli(*command, "trainer.max_steps=310").returncode == 0
    assert summary(run)["step"] == 310


def test_auto_wants_a_directory_and_clears_none_that_is_no_run(cli: Cli, tmp_path: Path) -> None:
    done = cli("train.py", *PLANE, "resume=auto")
    assert (done.returncode, done.stderr) == (
        2, "resume: auto needs hydra.run.dir=<folder>, where the run goes on or begins\n"
    )  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    done = cli("train.py", *PLANE, "resume=auto", f"hydra.run.dir={tmp_path}/mine")
    assert (done.returncode, done.stderr) == (
        2, f"hydra.run.dir: {tmp_path}/mine holds thesis.tex, which is of no run; name another folder\n"
    )  # fmt: skip


def test_whatever_a_run_left_before_its_first_checkpoint_it_begins_anew(cli: Cli, tmp_path: Path) -> None:
    small = [a for a in SMALL if not a.startswith("logger")]
    command = ["train.py", *small, "logger.mode=offline", "debug=profile", f"hydra.run.dir={tmp_path}/run"]
    assert cli(*command).returncode == 0
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        file.unlink()
    again = cli(*command, "resume=auto")
    assert again.returncode == 0, again.stderr


KILLED = """
import os, signal
from ebm_exp.run import checkpoint
save, calls = checkpoint.save, []
def counted(path, state):
    calls.append(path)
    BEFORE and len(calls) == 2 and os.kill(os.getpid(), signal.SIGKILL)
    save(path, state)
    len(calls) == 2 and os.kill(os.getpid(), signal.SIGKILL)
checkpoint.save = counted
"""


def test_a_kill_about_the_checkpoint_after_an_evaluation_leaves_no_trace(cli: Cli, tmp_path: Path) -> None:
    """The row of the scores stands already: once it is to stand, and in the summary."""
    small = [a for a in SMALL if not a.startswith("evaluator")]
    command = ["train.py", *small, "evaluator=frechet", "evaluator.frechet.n_samples=50", "guard.on_divergence=warn"]
    whole = tmp_path / "whole"
    assert cli(*command, f"hydra.run.dir={whole}").returncode == 0
    for before in (True, False):
        run = tmp_path / f"run_{before}"
        killing = begins_with(KILLED.replace("BEFORE", str(before)), tmp_path)
        assert cli(killing, *command, f"hydra.run.dir={run}").returncode == -signal.SIGKILL
        assert len(rows(run)) == len(rows(whole)) == 2
        done = cli(*command, f"hydra.run.dir={run}", "resume=auto")
        assert done.returncode == 0, done.stderr
        assert rows(run) == rows(whole)
        told, expected = summary(run), summary(whole)
        assert told["best"] == expected["best"]
        assert told["metrics"].keys() == expected["metrics"].keys()
        for a, b in zip(states(run, 3), states(whole, 3), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


BOTH = """
import atexit, os, pathlib, signal, sys, time
other = os.fork()
if other == 0:  # trains on, until the one that wants its run has ended
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
else:
    atexit.register(lambda: (os.kill(other, signal.SIGKILL), os.waitpid(other, 0)))
    while not pathlib.Path(CHECKPOINT).exists():
        time.sleep(0.01)
    sys.argv[2:] = [RESUME]
"""


def test_a_run_that_is_trained_is_refused_and_a_dead_process_stops_nobody(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    steps = ("trainer.max_steps=100000", "trainer.checkpoint_every_steps=20")
    checkpoint = run / "checkpoints" / "step_00000020.pt"
    both = BOTH.replace("CHECKPOINT", repr(str(checkpoint))).replace("RESUME", repr(f"resume={run}"))
    second = cli(begins_with(both, tmp_path), "train.py", *PLANE, *steps, f"hydra.run.dir={run}")
    said = summary(run)
    assert second.returncode == 2
    assert second.stderr == (
        f"resume: {run} is being trained, by process {said['pid']} on {said['host']}, since {said['started']}\n"
    )
    assert said["state"] == "running"
    more = cli("train.py", f"resume={run}", f"trainer.max_steps={summary(run)['step'] + 25}")
    assert more.returncode == 0, more.stderr


def test_a_run_goes_on_otherwise_and_says_so(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = [a for a in SMALL if not a.startswith("trainer.max_steps")]
    begun = cli("train.py", *small, "schedule=constant", "trainer.max_steps=20", f"hydra.run.dir={run}")
    assert begun.returncode == 0, begun.stderr
    before = states(run, 20)[0]
    refused = cli("train.py", f"resume={run}", "trainer.max_steps=40", "optimizer.lr=1e-9")
    assert refused.returncode == 2
    assert "(attempt=next optimizer.lr=1e-9 changes it on the way)" in refused.stderr
    done = cli("train.py", f"resume={run}", "attempt=next", "trainer.max_steps=40", "optimizer.lr=1e-9", "seed=7")
    assert done.returncode == 0, done.stderr
    assert rows(run)[-1]["train/lr"] == 1e-9
    after = states(run, 40)[0]
    for name, weight in before["energy"].items():
        torch.testing.assert_close(after["energy"][name], weight, rtol=0, atol=1e-6)
    assert after["buffer"]["_extra_state"] != before["buffer"]["_extra_state"]
    changed = {"seed": [0, 7], "optimizer.lr": [0.002, 1e-9], "trainer.max_steps": [20, 40]}
    first = {"attempt": 1, "step": 20, "why": "asked for", "changed": changed}
    assert summary(run)["attempts"] == [first]
    command = [*small, "schedule=constant", f"hydra.run.dir={run}", "resume=auto", "trainer.max_steps=60"]
    auto = cli("train.py", *command, "optimizer.lr=1e-9", "notes=why not")  # under what is in force now
    assert auto.returncode == 0, auto.stderr
    assert rows(run)[-1]["train/lr"] == 1e-9
    changed = {"notes": [None, "why not"], "trainer.max_steps": [40, 60]}
    assert summary(run)["attempts"] == [first, {"attempt": 1, "step": 40, "why": "asked for", "changed": changed}]
    as_begun = cli("train.py", *command[:-1])  # the length of then, which it has already
    assert (as_begun.returncode, summary(run)["step"]) == (0, 60), as_begun.stderr
    assert yaml.safe_load((run / ".hydra" / "config.yaml").read_text())["trainer"]["max_steps"] == 60
    assert "began without optimizer.lr=1e-8" in cli("train.py", *command, "optimizer.lr=1e-8").stderr
    page = " ".join(re.sub("<[^>]+>", " ", (run / "report.html").read_text()).split())
    assert "20 optimizer.lr 0.002 1e-09 asked for" in page
    assert "40 trainer.max_steps 40 60 asked for" in page
    assert "seed=8,9,10" in page
    assert "optimizer.lr=1e-09" in page.split("other seeds")[1].split("What differs")[0]
    assert (
        cli("train.py", *PLANE, "attempt=next").stderr == "attempt: next goes with resume=<run>, a new run has none\n"
    )


BLOWS_UP = (*PLANE, "energy.widths=[64,64]", "sampler.step_size=0.5", "sampler.n_steps=20", "optimizer.lr=0.02")
BLOWS_UP += ("trainer.max_steps=250", "trainer.batch_size=64")
BLOWS_UP += ("trainer.checkpoint_every_steps=50",)


def test_a_training_that_is_not_healthy_stops_and_says_why(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = cli("train.py", *BLOWS_UP, f"hydra.run.dir={run}")
    assert done.returncode == 3
    said = summary(run)
    assert said["state"] == "diverged"
    assert said["symptom"] == "gradients_exploded"
    assert said["step"] <= 200
    assert "Likely: " in said["reason"]
    assert "What helps: " in said["reason"]
    assert said["reason"] in done.stderr
    assert said["reason"] in (run / "train.log").read_text()
    kept = torch.load(run / "checkpoints" / "diverged.pt", weights_only=True)
    assert kept["batch"].shape == kept["points"]["negatives"].shape
    assert kept["state"]["step"] == said["step"]


def test_what_diverged_before_its_first_checkpoint_can_be_looked_into(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    few = [each for each in BLOWS_UP if "checkpoint_every" not in each]
    assert cli("train.py", *few, f"hydra.run.dir={run}").returncode == 3
    step = summary(run)["step"]
    file = run / "checkpoints" / "diverged.pt"
    told = f"{run} has no latest checkpoint; it diverged at step {step}, before its first; "
    looks = "checkpoint=diverged looks into that step: "
    for line, see in (
        (CommandLine.read("sample", [f"run={run}"]), looks),
        (CommandLine.read("train", [f"resume={run}"]), ""),
    ):
        with pytest.raises(UserError) as refused:  # before anything is composed
            find_start(line)
        assert str(refused.value) == f"{'run' if see else 'resume'}: {told}{see}{file}"
    for script, more in (("sample.py", "n_samples=4"), ("evaluate.py", "evaluator=mmd")):
        done = cli(script, f"run={run}", "checkpoint=diverged", more, f"output_dir={tmp_path}/{script}")
        assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "sample.py" / "samples.json").read_text())
    assert (made["step"], made["checkpoint"], made["sha256"]) == (step, "diverged.pt", checksum(file))
    loaded = load_run(run, device="cpu", checkpoint="diverged")
    kept = torch.load(file, weights_only=True)["state"]["ema"]["energy"]
    torch.testing.assert_close(dict(loaded.energy.state_dict()), dict(kept), rtol=0, atol=0)


def test_a_warning_lets_it_go_on(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = cli("train.py", *BLOWS_UP, "guard.on_divergence=warn", f"hydra.run.dir={run}")
    said = summary(run)
    assert (done.returncode, said["state"], said["step"]) == (0, "finished", 250)
    assert said["symptoms"][0]["text"] in (run / "train.log").read_text()


def test_a_rollback_goes_on_from_a_healthy_checkpoint_with_a_remedy(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = cli("train.py", *BLOWS_UP, "guard.on_divergence=rollback", "guard.max_rollbacks=2", f"hydra.run.dir={run}")
    attempts = summary(run)["attempts"]
    assert 1 <= len(attempts) <= 2
    first = attempts[0]
    assert first["changed"]["optimizer.lr"] == [0.02, 0.01]
    assert first["changed"]["sampler.step_size"] == [0.5, 0.05]
    assert done.returncode == (0 if summary(run)["state"] == "finished" else 3)
    steps = [row["step"] for row in rows(run)]
    assert steps == sorted(steps)


def test_an_evaluation_that_fails_costs_no_training(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    broken = ("evaluator=frechet", "evaluator.frechet.features=classifier", "trainer.max_steps=4")
    small = [a for a in SMALL if not a.startswith(("evaluator", "trainer.max_steps"))]
    done = cli("train.py", *small, *broken, "evaluator.frechet.cache_dir=/proc/nowhere", "optimized_metric=null",
               f"hydra.run.dir={run}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (run / "checkpoints" / "step_00000004.pt").is_file()
    assert "no evaluator, the training goes on" in (run / "train.log").read_text()
    assert "Traceback" in (run / "train.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGXCPU])
def test_each_signal_leaves_a_checkpoint_of_its_step(cli: Cli, warm: Warm, tmp_path: Path, number: int) -> None:
    run = tmp_path / "run"
    steps = ("trainer.max_steps=100000", "trainer.log_every_steps=10")
    child = warm.start(["train.py", *PLANE, *steps, f"hydra.run.dir={run}"], environment(), NULL, NULL)
    wait_for(lambda: (run / "metrics.jsonl").is_file() and len((run / "metrics.jsonl").read_text()) > 10)
    sent = time.monotonic()
    child.send_signal(number)
    assert child.wait(20) == 128 + number
    assert time.monotonic() - sent < 10
    said = summary(run)
    assert said["state"] == "stopped"
    assert (run / "checkpoints" / f"step_{said['step']:08d}.pt").is_file()
