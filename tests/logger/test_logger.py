"""Rows, offline W&B read back, images."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ebm_exp.dataset import Domain, TwoMoons
from ebm_exp.logger import Jsonl, Progress, WandbRun
from ebm_exp.logger.console import _clock
from ebm_exp.logger.jsonl import truncate_after
from ebm_exp.logger.plots import chain_gif, density_panels, energy_histogram, mosaic, sample_grid, sample_panels

KEY = "k" * 40  # as long as W&B wants it; no test goes online


def test_rows_and_truncation(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    rows = Jsonl(file)
    for step in (1, 2, 3):
        rows.write({"step": step, "a": float("nan") if step == 2 else 0.5})
    assert [json.loads(line)["a"] for line in file.read_text().splitlines()] == [0.5, "nan", 0.5]
    with file.open("a") as f:
        f.write('{"step": 4, "a"')
    truncate_after(file, 2)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2]
    truncate_after(tmp_path / "none.jsonl", 2)
    assert not (tmp_path / "none.jsonl").exists()


def test_offline_runs_are_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    ids = []
    for i in range(2):
        run = WandbRun("auto", dir=str(tmp_path))
        run.start({"optimizer": {"lr": 0.125}}, None, f"run {i}", "my-group", tmp_path)
        assert run.mode_used == "offline"
        run.log({"train/loss": 1.5 + i}, 10)
        run.log({"train/loss": 0.5}, 20)
        run.summary({"best": 0.25})
        run.finish(i)
        ids.append(run.id)
        assert run.hint()[0] == f"wandb leet {tmp_path}/wandb"
        assert run.hint()[1].startswith(f"wandb sync {tmp_path}/wandb/offline-run-")
        assert run.hint()[1].endswith(run.id or "?")
    assert len(set(ids)) == 2
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert {file.stem.removeprefix("run-") for file in files} == set(ids)
    for i, run_id in enumerate(ids):
        records = _inspect(tmp_path, run_id)
        (run_record,) = records["run"]
        assert (run_record["run_id"], run_record["run_group"]) == (run_id, "my-group")
        assert (run_record["display_name"], run_record["project"]) == (f"run {i}", "ebm-exp")
        assert run_record["config"]["update"]["optimizer"] == {"lr": 0.125}
        rows = [(row["item"]["step"], row["item"]["train/loss"]) for row in records["history"]]
        assert rows == [(10, 1.5 + i), (20, 0.5)]
        assert [(m["glob_name"], m["step_metric"]) for m in records["metric"]] == [("*", "step")]
        assert any(s.get("update", {}).get("best") == 0.25 for s in records["summary"])
        assert [e.get("exit_code", 0) for e in records["exit"]] == [i]


def _inspect(folder: Path, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """The records of an offline run by type, as ``wandb leet inspect --json`` prints them."""
    (file,) = folder.glob(f"wandb/offline-run-*-{run_id}/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records: dict[str, list[dict[str, Any]]] = {}
    for record in map(json.loads, done.stdout.splitlines()):
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def test_the_group_of_the_config_wins_and_images_are_logged(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    run = WandbRun("offline", group="mine", dir=str(tmp_path))
    run.start({}, None, "x", "the-sweep", tmp_path)
    run.log_images({"samples/fresh": tmp_path / "a.png"}, 7)
    run.finish(0)
    records = _inspect(tmp_path, run.id or "")
    assert records["run"][0]["run_group"] == "mine"
    (row,) = records["history"]
    assert row["item"]["step"] == 7
    assert row["item"]["samples/fresh._type"] == "image-file"
    assert row["item"]["samples/fresh.width"] == 8


@pytest.mark.parametrize(
    ("mode", "environment", "netrc", "used"),
    [
        ("auto", {}, "", "offline"),
        ("auto", {"WANDB_API_KEY": KEY}, "", "online"),
        ("auto", {"WANDB_API_KEY": "short"}, "", "online"),  # the login then says what is wrong with it
        ("auto", {}, f"machine api.wandb.ai login user password {KEY}", "online"),
        ("auto", {}, f"machine elsewhere.org login user password {KEY}", "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "", "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "dryrun"}, "", "offline"),
        ("auto", {"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, "", "disabled"),
        ("auto", {"WANDB_MODE": "online"}, "", "offline"),  # never a prompt
        ("online", {}, "", "offline"),
        ("offline", {"WANDB_API_KEY": KEY, "WANDB_MODE": "online"}, "", "offline"),
    ],
)
def test_the_mode_follows_environment_and_key(
    mode: str, environment: dict[str, str], netrc: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "netrc").write_text(netrc)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert WandbRun(mode)._choose_mode() == used  # type: ignore[arg-type]


def test_an_unreachable_server_leaves_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    init = wandb.init

    def no_network(mode: str, **arguments: Any) -> Any:
        if mode == "online":
            raise wandb.errors.CommError("no route to host\nand more")
        return init(mode=mode, **arguments)

    monkeypatch.setattr(wandb, "init", no_network)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    run = WandbRun("auto", dir=str(tmp_path))
    run.start({}, "abcd1234", "x", None, tmp_path)
    run.log({"a": 1.0}, 1)
    run.finish(0)
    assert (run.id, run.mode_used) == ("abcd1234", "offline")
    assert [r.getMessage() for r in caplog.records if r.name.startswith("ebm_exp")] == [
        "W&B is out of reach (no route to host); logging offline"
    ]
    assert _inspect(tmp_path, "abcd1234")["history"][0]["item"]["a"] == 1
    assert "wandb" not in "".join(capfd.readouterr())


def test_an_offline_run_keeps_its_id_when_it_goes_on(tmp_path: Path) -> None:
    run = WandbRun("offline", dir=str(tmp_path))
    run.start({}, "abcd1234", "x", None, tmp_path)
    run.finish(0)
    assert run.id == "abcd1234"
    assert list(tmp_path.glob("wandb/offline-run-*-abcd1234"))


def test_disabled_imports_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from ebm_exp.logger import WandbRun; r = WandbRun('disabled');"
        "r.start({}, None, 'x', None, pathlib.Path('.')); r.log({'a': 1.0}, 1); r.finish(0);"
        "assert 'wandb' not in sys.modules and r.hint() == []"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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


BOX = Domain(-1, 1, (1, 8, 8))


def test_mosaic_shows_the_values() -> None:
    x = torch.stack([torch.full((1, 8, 8), v) for v in (-1.0, 0.0, 1.0, 5.0)])
    image = mosaic(x, BOX)
    assert image.shape[2] == 3
    assert image.shape[0] == image.shape[1] == 2 * 240 + 3 * 2  # 30 pixels for one, thin lines between
    assert [int(image[h, w, 0]) for h, w in ((9, 9), (9, 400), (400, 9), (400, 400))] == [0, 128, 255, 255]
    colour = mosaic(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8), Domain(-1, 1, (3, 8, 8)))
    assert colour[10, 10].tolist() == [255, 0, 0]


def test_every_image_is_a_file(tmp_path: Path) -> None:
    x = BOX.uniform(70, torch.Generator())
    sample_panels(tmp_path / "panels.png", {"data": x, "fresh": x[:5]}, BOX)
    sample_grid(tmp_path / "grid.png", x, BOX)
    energy_histogram(tmp_path / "energy.png", torch.randn(50), torch.randn(50) + 1, "step 1")
    moons = TwoMoons("two_moons", torch.device("cpu"), 0, half_width=2.5, n_train=500, n_test=10)
    density_panels(tmp_path / "density.png", lambda p: -moons.log_prob(p), moons, moons.train(100), 1.0)
    sample_grid(tmp_path / "points.png", moons.train(100), moons.domain)
    chain_gif(tmp_path / "chain.gif", torch.stack([x, -x, x]), BOX)
    chain_gif(tmp_path / "points.gif", torch.stack([moons.train(9), moons.train(9) / 2]), moons.domain)
    for name in ("panels", "grid", "energy", "density", "points"):
        image = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert min(image.shape) > 200
        assert image.std() > 5
    assert Image.open(tmp_path / "chain.gif").n_frames == 3
    assert Image.open(tmp_path / "points.gif").n_frames == 2
    ramp = torch.linspace(-1, 1, 100).view(100, 1, 1, 1, 1).expand(100, 1, 1, 8, 8)
    chain_gif(tmp_path / "long.gif", ramp, BOX)
    long = Image.open(tmp_path / "long.gif")
    assert long.n_frames == 60
    assert long.convert("L").getpixel((90, 90)) == 0
    long.seek(59)
    assert long.convert("L").getpixel((90, 90)) == 255


def test_panels_share_one_scale_and_show_at_most_64(tmp_path: Path) -> None:
    x = BOX.uniform(200, torch.Generator())
    assert mosaic(x, BOX).shape == mosaic(x[:64], BOX).shape
    assert mosaic(x[:9], BOX, n_columns=8).shape[1] == mosaic(x, BOX).shape[1]
    sample_panels(tmp_path / "many.png", {"a": x, "b": x[:9]}, BOX)
    sample_panels(tmp_path / "few.png", {"a": x[:64], "b": x[:9]}, BOX)
    assert (tmp_path / "many.png").read_bytes() == (tmp_path / "few.png").read_bytes()
    sample_panels(tmp_path / "rows.png", {"a": torch.zeros(5, 7)}, Domain(-1, 1, (7,)))
    assert Image.open(tmp_path / "rows.png").width > 300
    energy_histogram(tmp_path / "energy.png", torch.tensor([1.0, float("nan")]), torch.tensor([2.0, 3.0]), "x")
    assert (tmp_path / "energy.png").stat().st_size > 1000
