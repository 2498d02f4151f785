"""Rows, offline W&B read back, pictures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ebm_exp.dataset import Domain, TwoMoons
from ebm_exp.logger import Jsonl, Progress, WandbRun
from ebm_exp.logger.jsonl import truncate_after
from ebm_exp.logger.plots import chain_gif, density_panels, energy_histogram, mosaic, sample_grid, sample_panels


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
        run.log({"train/loss": 1.5 + i}, 10)
        run.finish(0)
        ids.append(run.id)
        assert any("wandb sync" in line for line in run.hint())
    assert len(set(ids)) == 2
    files = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert {file.stem.removeprefix("run-") for file in files} == set(ids)
    for file in files:
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for word in ("my-group", "train/loss", "0.125"):
            assert word in done.stdout


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


BOX = Domain(-1, 1, (1, 8, 8))


def test_mosaic_shows_the_values() -> None:
    x = torch.stack([torch.full((1, 8, 8), v) for v in (-1.0, 0.0, 1.0, 5.0)])
    picture = mosaic(x, BOX)
    assert picture.shape[2] == 3
    assert [int(picture[h, w, 0]) for h, w in ((5, 5), (5, 60), (60, 5), (60, 60))] == [0, 128, 255, 255]
    colour = mosaic(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8), Domain(-1, 1, (3, 8, 8)))
    assert colour[10, 10].tolist() == [255, 0, 0]


def test_every_picture_is_a_file(tmp_path: Path) -> None:
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
        picture = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert min(picture.shape) > 200
        assert picture.std() > 5
    assert Image.open(tmp_path / "chain.gif").n_frames == 3
    assert Image.open(tmp_path / "points.gif").n_frames == 2
