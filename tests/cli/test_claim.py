"""Starts that meet: of commands that want one folder at once, and options of Hydra that would hide a run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.warm import SMALL, begins_beside

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("pause", [0, 0.3])
def test_a_mistyped_start_beside_one_that_begins_costs_it_nothing(cli: Cli, tmp_path: Path, pause: float) -> None:
    run = tmp_path / "run"
    done = cli(begins_beside(tmp_path, pause, "energy.widths=[-1]"), "train.py", *SMALL, f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "code").read_text() == "2"
    assert json.loads((run / "summary.json").read_text())["state"] == "finished"
    assert "widths:\n  - 16" in (run / ".hydra" / "config.yaml").read_text()
    (line,) = (tmp_path / "errors").read_text().splitlines()
    assert line.startswith((f"hydra.run.dir: {run} ", "energy.widths[0]: must be"))


def test_of_two_starts_in_one_folder_one_is_a_run(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = cli(begins_beside(tmp_path, 0), "train.py", *SMALL, f"hydra.run.dir={run}")
    assert sorted([done.returncode, int((tmp_path / "code").read_text())]) == [0, 2]
    assert f"hydra.run.dir: {run} " in done.stderr + (tmp_path / "errors").read_text()
    assert json.loads((run / "summary.json").read_text())["state"] == "finished"


def test_two_starts_without_a_folder_are_two_runs(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "here.py"
    script.write_text(f"import os\nos.chdir({str(tmp_path)!r})\nfrom ebm_exp.cli.commands import train\ntrain()\n")
    done = cli(begins_beside(tmp_path, 0), str(script), *SMALL)
    assert (done.returncode, (tmp_path / "code").read_text()) == (0, "0"), done.stderr
    assert len(list(tmp_path.glob("outputs/digits/*/summary.json"))) == 2


def test_what_a_start_that_died_has_left_stops_nobody(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "config.yaml").write_text("half")
    (run / "train.log").touch()
    done = cli("train.py", *SMALL, f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("typed", ["hydra.output_subdir=null", "hydra.output_subdir=other", "hydra.job.chdir=true"])
@pytest.mark.parametrize("sweep", [(), ("-m", "seed=1,2")])
def test_no_option_of_hydra_hides_a_run(cli: Cli, tmp_path: Path, typed: str, sweep: tuple[str, ...]) -> None:
    where = f"hydra.{'sweep' if sweep else 'run'}.dir={tmp_path}/out"
    refused = cli("train.py", *sweep, *SMALL, typed, where)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(typed.split("=")[0] + ": must be ")
    assert not (tmp_path / "out").exists()


def test_draws_have_a_folder_of_their_own_too(cli: Cli, trained: Path, tmp_path: Path) -> None:
    words = (f"run={trained}", "n_samples=4", f"output_dir={tmp_path}/drawn")
    done = cli(begins_beside(tmp_path, 0), "sample.py", *words)
    assert sorted([done.returncode, int((tmp_path / "code").read_text())]) == [0, 2]
    assert (tmp_path / "drawn" / "samples.npz").is_file()
