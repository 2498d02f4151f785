"""Signals ask for a stop; what may be left is left at once, and the last step is kept."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ebm_exp.run.checkpoint import load
from ebm_exp.run.directory import RunDirectory
from ebm_exp.trainer.build import build
from ebm_exp.trainer.outcome import Outcome
from ebm_exp.trainer.session import Session
from ebm_exp.trainer.stop import SIGNALS, Interrupt, StopRequest
from tests.config.test_conf import composed

LINE = "stopping after this step; once more: at once\n"


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of before come back, whatever a test leaves; jobs in a background ignore Control-C, tests do not."""
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {s: signal.getsignal(s) for s in SIGNALS}
    yield
    assert {s: signal.getsignal(s) for s in SIGNALS} == before
    signal.signal(signal.SIGINT, outside)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_a_signal_asks_and_says_so_and_the_third_leaves_anything(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with StopRequest() as stop:
        assert not stop.requested
        send(number)
        assert stop.requested
        send(signal.SIGTERM)
        assert stop.signal == number
        with pytest.raises(Interrupt):
            send(signal.SIGINT)
    assert capfd.readouterr().err == LINE


def test_one_that_was_ignored_before_counts_once_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A worker repeats it to its jobs; its user's second one comes as another."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            send(*[signal.SIGTERM] * 5)
            assert stop.unless(lambda: "result", 2) == "result"
            send(signal.SIGUSR1)
            assert stop.unless(lambda: "result", 2) is None
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capfd.readouterr().err == ""


def trained(folder: Path, *more: str, gather: Any = None, step: Any = None) -> tuple[Outcome, RunDirectory]:
    """A small run, with something before chains are gathered, or before the optimizer steps."""
    typed = ("dataset=two_moons", "sampler=mala", "sampler.n_steps=2", "trainer.batch_size=8", "buffer.size=32")
    quick = ("energy.widths=[4]", "evaluator=none", "optimized_metric=null", "trainer.image_every_steps=1000")
    parts, experiment = build(composed(*typed, *quick, "logger.mode=disabled", "device=cpu", "schedule=cosine", *more))
    for owner, name, before in ((experiment.objective, "gather", gather), (experiment.optimizer, "step", step)):
        if before is not None:
            plain = getattr(owner, name)
            monkey = _before(plain, before)
            setattr(owner, name, monkey)
    directory = RunDirectory(folder)
    directory.create()
    return Session(parts["trainer"], experiment, directory, parts["logger"]).run(), directory


def _before(plain: Any, work: Any) -> Any:
    calls = []

    def both(*given: Any, **more: Any) -> Any:
        calls.append(1)
        work(len(calls))
        return plain(*given, **more)

    return both


def state(directory: RunDirectory, step: int) -> Any:
    saved = load(directory.checkpoint(step))
    return {key: saved[key] for key in ("step", "rows", "parts", "ema")}


def test_the_second_signal_leaves_chains_and_keeps_the_last_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def at_third(call: int) -> None:
        send(*[signal.SIGTERM] * (2 if call == 3 else 0))

    steps = ("trainer.max_steps=3", "trainer.log_every_steps=3")
    _, whole = trained(tmp_path / "whole", *steps, "trainer.checkpoint_every_steps=1")
    capfd.readouterr()
    outcome, left = trained(tmp_path / "left", *steps, gather=at_third)
    assert (outcome.state, outcome.signal, outcome.exit_code) == ("stopped", signal.SIGTERM, 143)
    assert left.summary()["state"] == "stopped"
    assert left.summary()["step"] == 2
    assert left.checkpoint_steps() == [2]
    torch.testing.assert_close(state(left, 2), state(whole, 2), rtol=0, atol=0)
    assert capfd.readouterr().err == LINE


def test_the_second_signal_waits_where_a_step_has_changed_something(tmp_path: Path) -> None:
    def at_third(call: int) -> None:
        send(*[signal.SIGTERM] * (2 if call == 3 else 0))

    outcome, left = trained(tmp_path / "left", step=at_third)
    assert (outcome.state, left.summary()["step"], left.checkpoint_steps()) == ("stopped", 3, [3])


def test_the_third_signal_leaves_anything_and_says_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def at_third(call: int) -> None:
        send(*[signal.SIGTERM] * (3 if call == 3 else 0))

    outcome, left = trained(tmp_path / "left", "trainer.checkpoint_every_steps=1", step=at_third)
    reason = "left within a step; the newest checkpoint is of step 2"
    assert (outcome.state, outcome.reason, left.summary()["step"]) == ("stopped", reason, 2)
    assert f"stopped at step 2 after 0 s; {reason}\n" in capsys.readouterr().out
    outcome, none = trained(tmp_path / "none", step=lambda call: send(*[signal.SIGTERM] * 3))
    assert (outcome.state, none.summary()["state"], none.checkpoint_steps()) == ("stopped", "stopped", [])
    assert "go on          from the start: no step is saved\n" in capsys.readouterr().out


def test_work_is_left_at_once_and_not_begun_after_a_signal() -> None:
    left = []

    def work() -> str:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                pass
        except Exception:  # what a part catches does not keep it
            left.append("caught")
        left.append("whole")
        return "result"

    with StopRequest() as stop:
        assert stop.unless(lambda: "before") == "before"
        assert stop.unless(work) is None
        assert stop.unless(lambda: "after") is None
    assert left == []


def test_outside_of_such_work_nothing_is_left() -> None:
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        done = sum(range(1000))
    assert done == 499500
    assert stop.signal == signal.SIGUSR1
