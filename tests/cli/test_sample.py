"""sample.py as a user starts it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

Cli = Callable[..., subprocess.CompletedProcess[str]]


SMALL = (
    *("energy.widths=[16]", "sampler.n_steps=3", "sampling.n_steps=5", "trainer.batch_size=16", "buffer.size=128"),
    *("evaluator=none", "logger.mode=disabled", "trainer.max_steps=3", "device=cpu"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    root = Path(__file__).resolve().parents[2]
    arguments = [sys.executable, "train.py", *SMALL, f"hydra.run.dir={run}"]
    subprocess.run(arguments, cwd=root, check=True, capture_output=True)
    return run


def test_files_and_their_values(cli: Cli, trained: Path, tmp_path: Path) -> None:
    done = cli("sample.py", f"run={trained}", "n_samples=70", "n_steps=12", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    drawn = np.load(tmp_path / "a" / "samples.npz")
    assert drawn["x"].shape == (70, 1, 8, 8)
    assert drawn["x"].dtype == np.float32
    assert drawn["energy"].shape == (70,)
    assert np.abs(drawn["x"]).max() <= 1
    assert Image.open(tmp_path / "a" / "samples.png").width > 100
    assert Image.open(tmp_path / "a" / "chain.gif").n_frames >= 2
    fewer = cli("sample.py", f"run={trained}", "n_samples=16", "n_steps=12", f"output_dir={tmp_path}/b")
    assert fewer.returncode == 0, fewer.stderr
    np.testing.assert_allclose(np.load(tmp_path / "b" / "samples.npz")["x"], drawn["x"][:16], atol=1e-5)


@pytest.mark.parametrize("init", ["data", "buffer"])
def test_chains_start_where_asked(cli: Cli, trained: Path, tmp_path: Path, init: str) -> None:
    done = cli("sample.py", f"run={trained}", f"init={init}", "sampler.step_size=1e-6", f"output_dir={tmp_path}/a")
    assert done.returncode == 0, done.stderr
    assert f"from {init}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run=/nowhere"], ["run", "/nowhere"]),
        ([], ["run: is required"]),
        (["{run}", "sampler.stepsize=1"], ["sampler.stepsize", "step_size"]),
        (["{run}", "n_samples=0"], ["n_samples", "> 0"]),
        (["{run}", "sampler=foo"], ["sampler", "langevin"]),
        (["{run}", "init=foo"], ["init", "noise"]),
        (["{run}", "label=3"], ["label: MLP is not class-conditional"]),
    ],
)
def test_bad_input(cli: Cli, trained: Path, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    filled = [a.replace("{run}", f"run={trained}") for a in arguments]
    done = cli("sample.py", *filled, f"output_dir={tmp_path}/out", timeout=60)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
    for word in words:
        assert word in done.stderr


def test_classes_as_asked(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = cli("train.py", *SMALL, "energy.conditional=true", f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    drawn = cli("sample.py", f"run={run}", "label=[3, 7]", "n_samples=5", f"output_dir={tmp_path}/a")
    assert drawn.returncode == 0, drawn.stderr
    assert np.load(tmp_path / "a" / "samples.npz")["y"].tolist() == [3, 7, 3, 7, 3]
    wrong = cli("sample.py", f"run={run}", "label=10", f"output_dir={tmp_path}/b")
    assert wrong.returncode == 2
    assert "label: must be classes from 0 to 9, got 10" in wrong.stderr


@pytest.mark.parametrize("target", ["torch.utils.collect_env.run", "os.system"])
def test_a_run_that_names_foreign_code_builds_nothing(cli: Cli, trained: Path, tmp_path: Path, target: str) -> None:
    config = yaml.safe_load((trained / ".hydra" / "config.yaml").read_text())
    config["energy"] = {"_target_": target, "command": f"touch {tmp_path}/ran"}
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    done = cli("sample.py", f"run={tmp_path}/run", f"output_dir={tmp_path}/out")
    assert done.returncode == 2
    assert target in done.stderr
    assert not (tmp_path / "ran").exists()
