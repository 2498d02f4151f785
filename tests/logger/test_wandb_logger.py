"""W&B: offline runs read back, rows of a step, runs that go on."""

import json
import shlex
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ebm_exp.logger import About, Files, Histogram, Picture, Table, WandbRun
from ebm_exp.run.about import checksum
from tests.logger.offline import a_minute_later, about, identity, read_back, session
from tests.logger.test_wandb_environment import VARIABLES


def test_offline_runs_are_read_back(tmp_path: Path) -> None:
    ids = []
    for i in range(2):
        run = WandbRun("auto", dir=str(tmp_path))
        run.start(About(f"run {i}", tmp_path, "my-group", config={"optimizer": {"lr": 0.125}}))
        assert run.mode_used == "offline"
        run.log({"train/loss": 1.5 + i}, 10)
        run.log({"train/loss": 0.5}, 20)
        run.summary({"best": 0.25})
        run.finish(i)
        ids.append(run.id)
        assert run.hint()[0] == f"wandb leet {tmp_path}/wandb"
        assert run.hint()[1].startswith(f"wandb sync {tmp_path}/wandb/offline-run-")
        assert run.hint()[1].endswith(run.id or "?")
        assert len(run.hint()) == 2
    assert len(set(ids)) == 2
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert {file.stem.removeprefix("run-") for file in files} == set(ids)
    for i, run_id in enumerate(ids):
        (records,) = read_back(tmp_path, run_id or "")
        (run_record,) = records["run"]
        assert (run_record["run_id"], run_record["run_group"]) == (run_id, "my-group")
        assert (run_record["display_name"], run_record["project"]) == (f"run {i}", "ebm-exp")
        assert run_record["job_type"] == "train"
        assert run_record["config"]["update"]["optimizer"] == {"lr": 0.125}
        rows = [(row["item"]["step"], row["item"]["train/loss"]) for row in records["history"]]
        assert rows == [(10, 1.5 + i), (20, 0.5)]
        assert [(m["glob_name"], m["step_metric"]) for m in records["metric"]] == [("*", "step")]
        assert any(s.get("update", {}).get("best") == 0.25 for s in records["summary"])
        assert [e.get("exit_code", 0) for e in records["exit"]] == [i]


def test_the_group_of_the_config_wins_and_images_are_logged(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    run = WandbRun("offline", group="mine", dir=str(tmp_path))
    run.start(about(tmp_path, group="the-sweep"))
    run.log({"samples/fresh": Picture(tmp_path / "a.png", "step 7, T 1, K 5")}, 7)
    run.finish(0)
    (records,) = read_back(tmp_path, run.id or "")
    assert records["run"][0]["run_group"] == "mine"
    (row,) = records["history"]
    assert row["item"]["step"] == 7
    assert row["item"]["samples/fresh._type"] == "image-file"
    assert row["item"]["samples/fresh.width"] == 8
    assert row["item"]["samples/fresh.caption"] == "step 7, T 1, K 5"


def test_what_belongs_to_a_step_is_one_row(tmp_path: Path) -> None:
    """Numbers, then scores, then images, but for tables. A row is written when the next step comes, when it is said to
    be whole, or at the end of a run that raised in its middle."""
    run = WandbRun("offline", dir=str(tmp_path))
    run.start(about(tmp_path))
    pixels = np.zeros((4, 6, 3), np.uint8)
    run.log({"train/loss": 1.0}, 1)
    run.log({"eval/x": 2.0}, 2)
    run.log({"train/loss": 3.0, "samples/fresh": Picture(pixels)}, 2)
    run.commit()
    run.commit()
    run.log({"energy/data": Histogram(np.array([1, 2]), np.array([0.0, 0.5, 1.0]))}, 3)
    run.log({"samples/table": Table(("sample", "energy"), [(Picture(pixels), 0.5), (Picture(pixels), 1.5)])}, 3)
    run.log({"train/loss": float("nan")}, 3)
    run.finish(1)
    (records,) = read_back(tmp_path, run.id or "")
    one, two, three, table = [row["item"] for row in records["history"]]
    assert (one["step"], one["train/loss"]) == (1, 1.0)
    assert (two["step"], two["train/loss"], two["eval/x"]) == (2, 3.0, 2.0)
    assert (two["samples/fresh.width"], two["samples/fresh.height"]) == (6, 4)
    assert three["energy/data.values"] == [1, 2]
    assert (table["samples/table._type"], table["samples/table.nrows"], table["step"]) == ("table-file", 2, 3)
    assert three["train/loss"] == "NaN"


def test_files_are_kept_with_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebm_exp.logger.wandb_logger._MOST_BYTES", 100)
    small, large = tmp_path / "small.pt", tmp_path / "large.pt"
    small.write_bytes(b"a" * 100)
    large.write_bytes(b"b" * 101)
    run = WandbRun("offline", dir=str(tmp_path))
    run.start(about(tmp_path))
    run.keep(Files("checkpoint", "model", (small,), {"sha256": checksum(small)}, ("best", "last")))
    run.keep(Files("checkpoint", "model", (large,), {"run": "there"}))
    run.finish(0)
    other = WandbRun("offline", dir=str(tmp_path), artifacts=False)
    other.start(about(tmp_path))
    assert not other.keeps
    other.keep(Files("checkpoint", "model", (small,), {}))
    other.finish(0)
    (records,) = read_back(tmp_path, run.id or "")
    first, second = records["artifact"]
    assert (first["name"], first["type"], set(first["aliases"])) == (
        f"checkpoint-{run.id}",
        "model",
        {"best", "last", "latest"},
    )
    assert json.loads(first["metadata"]) == {"sha256": checksum(small)}
    assert first["manifest"]["contents"][0]["local_path"] == str(small)  # no copy is made
    (entry,) = second["manifest"]["contents"]
    assert (entry["path"], entry["ref"]) == ("large.pt", large.as_uri())  # its place alone
    assert "artifact" not in read_back(tmp_path, other.id or "")[0]


def test_an_alert_and_the_reason_of_a_failure_are_recorded(tmp_path: Path) -> None:
    run = WandbRun("offline", dir=str(tmp_path))
    run.start(about(tmp_path))
    run.log({"train/loss": 1.0}, 5)
    run.alert("it diverged", "step 5: train/loss is not finite")
    run.summary({"state": "diverged", "reason": "step 5"})
    run.finish(1)
    (records,) = read_back(tmp_path, run.id or "")
    (alert,) = records["alert"]
    assert (alert["title"], alert["text"], alert["level"]) == (
        "it diverged",
        "step 5: train/loss is not finite",
        "ERROR",
    )
    assert any(s.get("update", {}).get("reason") == "step 5" for s in records["summary"])


def test_a_run_that_goes_on_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the first shell are not those of the second; a key given then wins. Its entity is said anew."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    run_id = session(WandbRun("offline", dir=str(tmp_path)), tmp_path, group="the sweep's")
    first = identity(tmp_path, run_id)
    for name in VARIABLES:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_PROJECT", "another")
    a_minute_later(tmp_path)
    session(WandbRun("offline", dir=str(tmp_path), entity=first[1]), tmp_path, run_id)
    assert identity(tmp_path, run_id) == first
    a_minute_later(tmp_path)
    session(WandbRun("offline", dir=str(tmp_path)), tmp_path, run_id)
    assert identity(tmp_path, run_id)[1] != first[1]
    a_minute_later(tmp_path)
    session(WandbRun("offline", dir=str(tmp_path), entity=first[1], tags=("mine",)), tmp_path, run_id)
    assert identity(tmp_path, run_id) == (*first[:4], ["mine"], *first[5:])
    other = session(WandbRun("offline", dir=str(tmp_path)), tmp_path)  # a new run in the same directory
    assert identity(tmp_path, other)[0] == "another"


def test_the_hint_names_all_pieces_of_a_run_and_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "it's a=folder, with $HOME"
    elsewhere = tmp_path / "node 7"
    run_id = session(WandbRun("offline", dir=str(folder)), tmp_path)
    time.sleep(1.1)  # the names of the sessions' folders have whole seconds
    session(WandbRun("offline", dir=str(folder)), tmp_path, run_id)
    monkeypatch.setenv("WANDB_DIR", str(elsewhere))
    last = WandbRun("offline")
    session(last, tmp_path, run_id)
    session(WandbRun("offline"), tmp_path / "..")  # another run beside it
    leet, sync = last.hint()
    assert pasted(leet) == ["leet", str(elsewhere / "wandb")]
    assert pasted(sync) == [
        "sync",
        *map(str, sorted(folder.glob(f"wandb/offline-run-*-{run_id}"))),
        *map(str, elsewhere.glob(f"wandb/offline-run-*-{run_id}")),
    ]
    assert len(pasted(sync)) == 4
    first = next(folder.glob(f"wandb/offline-run-*-{run_id}"))
    (first / f"run-{run_id}.wandb.synced").touch()  # as wandb sync leaves it
    assert len(pasted(last.hint()[1])) == 3


def pasted(line: str) -> list[str]:
    """What bash makes of a printed command's arguments."""
    program, _, rest = line.partition(" ")
    assert program == "wandb"
    done = subprocess.run(["bash", "-c", f"printf '%s\\n' {rest}"], capture_output=True, text=True, check=True)
    assert shlex.split(rest) == done.stdout.splitlines()
    return done.stdout.splitlines()
