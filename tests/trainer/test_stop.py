"""Signals ask for a stop; what may be left is left at once."""

import os
import signal

import pytest

from ebm_exp.trainer.stop import SIGNALS, StopRequest


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_each_signal_asks_once_and_handlers_come_back(number: int) -> None:
    before = {s: signal.getsignal(s) for s in SIGNALS}
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.signal == number
        assert {s: signal.getsignal(s) for s in SIGNALS} == before  # a second one acts at once
    assert {s: signal.getsignal(s) for s in SIGNALS} == before


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
