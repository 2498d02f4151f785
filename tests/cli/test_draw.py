"""The record of what sample.py was asked: it says whether it ended, and nothing half stands beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebm_exp.config.errors import UserError
from ebm_exp.mode import Chain, Grid, Request
from ebm_exp.mode.draw import draw
from ebm_exp.run import load_run


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "samples.json").read_text())


def test_what_ended_is_told_with_its_files(trained: Path, tmp_path: Path) -> None:
    seen = []
    request = Request(8, 3, tmp_path, progress=lambda step: seen.append(record(tmp_path)["state"]))
    drawn = draw(Chain(3), load_run(trained, device="cpu"), request, {"n_samples": 8, "seed": 3})
    assert set(seen) == {"running"}
    said = record(tmp_path)
    assert (said["state"], said["n_samples"], said["seed"], said["step"]) == ("finished", 8, 3, 3)
    assert said["files"] == {name: path.name for name, path in drawn.files.items()}
    assert {each.name for each in tmp_path.iterdir()} == {"samples.json", *said["files"].values()}


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt, "stopped"), (OSError, "failed")])
def test_what_is_left_within_a_file_leaves_no_half_of_it(
    error: type[BaseException], state: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise error

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(error):
        draw(Grid(), load_run(trained, device="cpu"), Request(8, 0, tmp_path), {})
    assert {each.name for each in tmp_path.iterdir()} == {"samples.json", "samples.png"}
    assert record(tmp_path)["state"] == state


def test_what_is_refused_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="label: MLP is not class-conditional"):
        draw(Grid(), load_run(trained, device="cpu"), Request(8, 0, tmp_path, label=3), {})
    assert not list(tmp_path.iterdir())
