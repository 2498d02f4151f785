"""A report of what somebody sent: it says what it left out, leads nowhere, and takes seconds."""

import json
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from ebm_exp.config.errors import UserError
from ebm_exp.report import write_report
from ebm_exp.sweep.directory import SweepDirectory

SECRET = "a private key"


def png(file: Path, side: int) -> None:
    """An image of one bit a pixel, of a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(1 + (side + 7) // 8) * side, 9)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    (folder / "samples").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"format": 3, "state": "finished", "step": 9}))
    (folder / "metrics.jsonl").write_text('{"step": 1, "train/loss": 1.0}\n{"step": 2, "train/loss": 0.5}\n')
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    found = SweepDirectory(tmp_path / "theirs")
    found.write_record({"kind": "grid", "keys": ["a"], "metrics": ["eval/x"], "n": 2})
    for number in range(2):
        found.claim(number, (f"a={number}",), {"a": number})
        best = {"metric": "eval/x", "value": 1.0 + number, "step": 1, "better": "lower"}
        found.run(number).write_summary({"state": "finished", "best": best})
    return found.path


def link(at: Path, to: Path) -> None:
    at.unlink(missing_ok=True)
    at.parent.mkdir(exist_ok=True)
    at.symlink_to(to)


def fifo(at: Path) -> None:
    at.unlink(missing_ok=True)
    os.mkfifo(at)


def edit(file: Path, **more: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


LEADS: dict[str, Callable[[Path, Path], None]] = {
    "summary": lambda at, out: link(at / "summary.json", out),
    "rows": lambda at, out: link(at / "metrics.jsonl", out),
    "config": lambda at, out: link(at / ".hydra" / "config.yaml", out),
    "overrides": lambda at, out: link(at / ".hydra" / "overrides.yaml", out),
    "an image": lambda at, out: link(at / "samples" / "step_00000001.png", out),
    "the report": lambda at, out: link(at / "report.html", out),
    "a folder": lambda at, out: link(at / "more", out.parent),
    "a pipe": lambda at, out: fifo(at / "metrics.jsonl"),
    "a pipe as summary": lambda at, out: fifo(at / "summary.json"),
    "sweep.json": lambda at, out: link(at / "sweep.json", out),
    "sweep.json as a pipe": lambda at, out: fifo(at / "sweep.json"),
}
OF_SWEEPS: dict[str, Callable[[Path, Path], None]] = {
    "a job": lambda at, out: link(at / "2", out.parent),
    "job.json": lambda at, out: link(at / "1" / "job.json", out),
    "job.json as a pipe": lambda at, out: fifo(at / "1" / "job.json"),
    "best.yaml": lambda at, out: link(at / "best.yaml", out),
    "locks": lambda at, out: link(at / ".locks", out.parent),
}


@pytest.mark.parametrize(("what", "name"), [*(("run", n) for n in LEADS), *(("sweep", n) for n in OF_SWEEPS)])
def test_a_report_leads_nowhere(what: str, name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder, outside = request.getfixturevalue(what), tmp_path / "outside" / "secret"
    outside.parent.mkdir()
    outside.write_text(SECRET)
    (LEADS | OF_SWEEPS)[name](folder, outside)
    before = sorted(p.name for p in folder.rglob("*"))
    with pytest.raises(UserError, match=r"^report: .*may not lead out of itself; --trust follows it$") as error:
        write_report(folder)
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in folder.rglob("*")) == before
    assert outside.read_text() == SECRET


def rows(at: Path, **values: object) -> None:
    with (at / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3} | values) + "\n")


LEFT_OUT: dict[str, tuple[Callable[[Path], object], str]] = {
    "20,000 metrics": (lambda at: rows(at, **{f"train/{i}": 1.0 for i in range(20_000)}), "of 20,001 metrics"),
    "20,000 groups": (lambda at: rows(at, **{f"g{i}/x": 1.0 for i in range(20_000)}), "of 20,001 metrics"),
    "20,000 scores": (
        lambda at: edit(at / "summary.json", metrics={f"eval/{i}": 1.0 for i in range(20_000)}), "19,880 more"
    ),
    "nine images of 8,190²": (
        lambda at: [png(at / "samples" / f"step_{i:08d}.png", 8190) for i in range(9)], "Left out: 6 images"
    ),
    "an image of 30,000²": (lambda at: png(at / "samples" / "step_00000001.png", 30_000), "1.png (too large)"),
    "2,000 kinds of images": (
        lambda at: [png(at / "samples" / f"k{i}_00000001.png", 1) for i in range(2000)], "1,994 more kinds"
    ),
    "a line of 2 MB": (lambda at: rows(at, x="x" * 2**21), "Did training behave"),
    "a record of 20 MB": (lambda at: edit(at / "summary.json", reason="x" * (20 * 2**20)), "Unknown"),
    "a gigabyte of nothing": (lambda at: os.truncate(at / "metrics.jsonl", 2**30), "Left out: rows behind"),
    "wrong types": (
        lambda at: edit(at / "summary.json", best=5, metrics=[], symptoms=3, attempts="x", data=[1], protocol=[2]),
        "Finished at step 9",
    ),
    "types wrong inside": (
        lambda at: edit(at / "summary.json", best={"value": []}, metrics={"eval/x": {}}, data={"event_shape": {}}),
        "Finished at step 9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_report_says_what_it_left_out_in_seconds(name: str, run: Path) -> None:
    change, words = LEFT_OUT[name]
    change(run)
    began = time.monotonic()
    text = write_report(run).read_text()
    assert time.monotonic() - began < 10  # a second alone, three for the images
    assert words in text
    assert len(text) < 2**23


def many(at: Path, n: int) -> None:
    for number in range(2, n):
        (at / str(number)).mkdir()
        (at / str(number) / "job.json").write_text(json.dumps({"overrides": [f"a={number}"], "config": {}}))
        best = {"metric": "eval/x", "value": 1.0 / number}
        (at / str(number) / "summary.json").write_text(json.dumps({"format": 3, "state": "finished", "best": best}))


SWEEPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "20,000 keys": (lambda at: edit(at / "sweep.json", keys=[f"k{i}.x" for i in range(20_000)]), "Left out: all keys"),
    "a job of 20,000 keys": (
        lambda at: edit(at / "1" / "job.json", overrides=[f"k{i}.x={i}" for i in range(20_000)]), "1 unreadable"
    ),
    "500 jobs": (lambda at: many(at, 500), "500 jobs"),
    "wrong types": (
        lambda at: edit(at / "sweep.json", keys=5, metrics={}, directions=[], defaults=3, command=9, n="x", name=[]),
        "Which setting won",
    ),
    "directions of its own": (lambda at: edit(at / "sweep.json", directions={"eval/x": {"a": 1}}), "lower is better"),
    "a job of another kind": (lambda at: edit(at / "1" / "job.json", overrides={"a": 1}), "1 unreadable"),
    "no job": (lambda at: (at / "1" / "job.json").write_text("[" * 10_000), "1 unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("name", SWEEPS)
def test_so_does_that_of_a_sweep(name: str, sweep: Path) -> None:
    change, words = SWEEPS[name]
    change(sweep)
    began = time.monotonic()
    text = write_report(sweep).read_text()
    assert time.monotonic() - began < 10  # a second alone
    assert words in text
    assert len(text) < 2**23


def test_a_named_search_is_no_path(sweep: Path, tmp_path: Path) -> None:
    """What a search sets is shown, read from the folder that its command names."""
    (tmp_path / "hosts.yaml").write_text(f"token: {SECRET}\n")
    (tmp_path / "hparams_search").mkdir()
    command = ["python", "train.py", f"--config-dir={tmp_path}", "hparams_search=../hosts"]
    edit(sweep / "sweep.json", command=command, arguments=["hparams_search=../hosts"])
    assert SECRET not in write_report(sweep).read_text()
    assert SECRET not in (sweep / "best.yaml").read_text()
