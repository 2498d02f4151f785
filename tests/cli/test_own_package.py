"""A class of the user's own package: trains when typed, is refused when only a run directory names it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("trainer.max_steps=3", "trainer.batch_size=16", "evaluator=none", "sampling.n_steps=2", "logger.mode=disabled")
GUIDE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example of docs/extending.md, as it stands there."""
    code = GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "my_pkg.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_it_trains_and_only_the_user_may_name_it(cli: Cli, own_package: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    typed = ("energy._target_=my_pkg.MyEnergy", "+energy.width=8")
    done = cli("train.py", *typed, *SMALL, f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    assert "MyEnergy: 592 parameters" in done.stdout  # 64·8 + 8 + 8·8 + 8
    refused = cli("sample.py", f"run={run}", "n_samples=4")
    assert refused.returncode == 2
    assert "energy._target_: 'my_pkg.MyEnergy', which is no part of this project" in refused.stderr
    assert cli("train.py", f"resume={run}", "trainer.max_steps=4").returncode == 2
    trusted = cli("sample.py", f"run={run}", "n_samples=4", "trust=true", f"output_dir={tmp_path}/drawn")
    assert trusted.returncode == 0, trusted.stderr


def test_its_hints_are_the_schema(cli: Cli, own_package: Path, tmp_path: Path) -> None:
    wrong = cli("train.py", "energy._target_=my_pkg.MyEnergy", "+energy.width=-1", f"hydra.run.dir={tmp_path}/run")
    assert wrong.returncode == 2
    assert wrong.stderr.strip().splitlines()[-1] == "energy.width: must be > 0, got -1"
    missing = cli("train.py", "energy._target_=my_pkg.Nothing", f"hydra.run.dir={tmp_path}/run")
    assert missing.returncode == 2
    assert missing.stderr.startswith("energy._target_: cannot import my_pkg.Nothing")
