"""Text of others on its way to a screen or a log."""

import io
import logging
import sys
from pathlib import Path

import pytest
from rich.table import Table

from ebm_exp.terminal import Screen, complain, console, guard_logs, printable

EVIL, WRITTEN = "a\x1b[2J\x9b1m\x07\r\x00\x7fb", "a\\x1b[2J\\x9b1m\\x07\\x0d\\x00\\x7fb"


def test_controls_are_written_out_and_nothing_else() -> None:
    assert printable(EVIL) == WRITTEN
    assert printable("ä ± … 日本\tx\n") == "ä ± … 日本\tx\n"


def test_every_exit_writes_them_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Screen(buffer, "utf-8", write_through=True))
    print(EVIL)
    table = Table(EVIL)
    table.add_row(EVIL)
    console(force_terminal=True, markup=False, highlight=False).print(EVIL, table)
    text = buffer.getvalue().decode()
    assert text.count(WRITTEN) == 4
    assert "\x1b[1m" in text  # rich's own bold
    assert "\x1b[2J" not in text
    complain(EVIL)
    assert capsys.readouterr().err == WRITTEN + "\n"


def test_so_does_every_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.FileHandler(tmp_path / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    guard_logs()
    guard_logs()  # once is enough
    logging.getLogger("x").warning("%s", EVIL)
    handler.close()
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == f"x {WRITTEN}\n"
