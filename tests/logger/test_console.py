"""The progress line."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ebm_exp.logger import Progress
from ebm_exp.logger.console import _clock


def test_progress_prints_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1000) as progress:
        progress.update(1, 0.5, 0.25)
        progress.update(2, 0.5, 0.25)
        progress.update(1000, 0.125, None)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("step 1/1,000")
    assert "steps/s" in lines[1]
    assert "loss 0.125" in lines[1]


def test_progress_ends_with_the_last_numbers_of_a_run_that_stops_early(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1000) as progress:
        for step in (1, 2, 3):
            progress.update(step, None, float(step))
    assert [line[:12] for line in capsys.readouterr().out.splitlines()] == ["step 1/1,000", "step 3/1,000"]


def test_the_live_line_leaves_printed_lines_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1000, enabled=True) as progress:
        progress.update(10, 0.5, 0.25)
        progress.print("warning   [brackets] " + "x" * 150)
    assert "warning   [brackets] " + "x" * 150 in capsys.readouterr().out
    assert (_clock(56.9), _clock(3599), _clock(3725)) == ("0:56", "59:59", "1:02:05")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (180.0, "step 1/100  180 s a step  4:57:00 left"),  # at once: the next step is minutes away
        (2.0, "step 4/100  2 s a step  3:12 left"),
        (0.25, "step 21/100  4.0 steps/s  0:19 left"),
    ],
)
def test_the_time_to_the_end_stands_within_ten_seconds_of_the_first_step(
    seconds: float, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = 0.0
    monkeypatch.setattr("ebm_exp.logger.console.time.perf_counter", lambda: clock)
    with Progress(100) as progress:
        for step in range(22):
            progress.tick(step)
            clock += seconds
        progress.update(22, 0.5, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == told
    assert len(lines) == 2
    assert lines[1].startswith("step 22/100  ")
    assert lines[1].endswith(" left  loss 0.5")


def test_a_notebook_shows_one_line_in_one_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    def display(data: dict[str, str], **_: Any) -> SimpleNamespace:
        shown.append(data["text/plain"])
        return SimpleNamespace(update=lambda data, **_: shown.append(data["text/plain"]))

    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    with Progress(1000) as progress:
        progress.print("outline")
        for step in (1, 2, 1000):
            progress.update(step, 0.5, None)
    assert capsys.readouterr().out == "outline\n"
    assert [line.partition("  ")[0] for line in shown] == ["…", "step 1/1,000", "step 1,000/1,000"]
