"""Rows of metrics."""

import json
from pathlib import Path

from ebm_exp.run.metrics import append_row, truncate_after


def test_rows_and_truncation(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        append_row(file, {"step": step, "a": float("nan") if step == 2 else 0.5})
    assert [json.loads(line)["a"] for line in file.read_text().splitlines()] == [0.5, "nan", 0.5]
    with file.open("a") as f:
        f.write('{"step": 4, "a"')
    truncate_after(file, 2)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2]
    for name in "bc":
        append_row(file, {"step": 2, name: 1.0})
    truncate_after(file, 2, 2)
    assert [list(json.loads(line)) for line in file.read_text().splitlines()] == [
        ["step", "a"],
        ["step", "a"],
        ["step", "b"],
    ]
    truncate_after(file, 2)
    assert len(file.read_text().splitlines()) == 3
    truncate_after(tmp_path / "none.jsonl", 2)
    assert not (tmp_path / "none.jsonl").exists()
