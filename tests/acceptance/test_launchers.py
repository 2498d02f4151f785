"""A sweep by any launcher: the same numbers to the last digit, one thread a job where jobs run side by side."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ebm_exp.config.trust import CONF
from tests.warm import ROOT, SMALL, environment

PLUGINS = {
    "basic": "hydra",
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit": "hydra_plugins.hydra_submitit_launcher",
    "slurm": "hydra_plugins.hydra_submitit_launcher",
    "ray_cluster": "hydra_plugins.hydra_ray_launcher",
}
THREADS = """
import torch
from ebm_exp.evaluator import Evaluator, Score

class Threads(Evaluator):
    n_samples = 0
    produces = {"threads": "lower"}
    protocol = "none"

    def __call__(self, model):
        return {"threads": Score(torch.get_num_threads())}
"""


def test_every_launcher_of_ours_is_tested() -> None:
    assert {file.stem for file in (CONF / "hydra" / "launcher").glob("*.yaml")} <= set(PLUGINS)


@pytest.mark.parametrize(
    ("launcher", "values"),
    [
        ("joblib", {"n_jobs": -1}),
        ("submitit", {"timeout_min": 10080, "cpus_per_task": 4, "tasks_per_node": 1}),
        ("slurm", {"timeout_min": 1440, "cpus_per_task": 4, "partition": "gpu", "gpus_per_node": 1}),
        ("ray_cluster", {"ray.remote.num_cpus": 4, "ray.remote.num_gpus": 0, "ray.init.address": None}),
    ],
)
def test_it_composes(launcher: str, values: dict[str, Any]) -> None:
    pytest.importorskip(PLUGINS[launcher])
    typed = [f"hydra/launcher={launcher}"]
    if launcher == "slurm":
        typed += ["hydra.launcher.partition=gpu", "hydra.launcher.gpus_per_node=1"]
    threads = {"submitit": "cpus_per_task", "slurm": "cpus_per_task", "ray_cluster": "ray.remote.num_cpus"}
    if launcher in threads:
        typed.append(f"hydra.launcher.{threads[launcher]}=4")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = compose("train", overrides=typed, return_hydra_config=True).hydra
    assert {key: OmegaConf.select(hydra.launcher, key) for key in values} == values
    if launcher in ("submitit", "slurm"):
        assert dict(hydra.job.env_set) == {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}


@pytest.mark.parametrize(
    ("launcher", "extra"), [("joblib", "joblib"), ("submitit", "slurm"), ("slurm", "slurm"), ("ray_cluster", "ray")]
)
def test_what_is_not_installed_is_named(launcher: str, extra: str, tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['hydra_plugins'] = None; sys.argv[0] = 'train.py'"
    script = f"{hidden}; from ebm_exp.cli.script import run; run('train')"
    command = [sys.executable, "-c", script, f"hydra/launcher={launcher}", f"hydra.run.dir={tmp_path}/run"]
    (tmp_path / "srun").touch(0o755)  # the same with Slurm
    env = environment() | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(rf"hydra/launcher: \w+ is not installed; pip install '\.\[{extra}\]' .*\n", done.stderr)


def sweep(launcher: str, folder: Path, threads: dict[str, str]) -> dict[str, list[dict[str, float]]]:
    """The rows of each job without times, by the job's folder."""
    (folder / "counted.py").write_text(THREADS)
    rows = {}
    out = folder / launcher
    done = subprocess.run(
        [
            *(sys.executable, "train.py", "-m", *SMALL, "evaluator=default", "trainer.log_every_steps=1"),
            *("evaluator.frechet.n_samples=32", "evaluator.mmd.n_samples=32"),
            *("+evaluator.threads._target_=counted.Threads", "seed=1,2", "sampler.step_size=0.5,2"),
            *(f"hydra/launcher={launcher}", f"hydra.sweep.dir={out}"),
        ],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"} | threads,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for run in (path for path in out.iterdir() if (path / "summary.json").is_file()):
        assert json.loads((run / "summary.json").read_text())["state"] == "finished"
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        rows[run.name] = [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]
    assert len(rows) == 4
    return rows


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, float]]]:
    return sweep("basic", tmp_path_factory.mktemp("basic"), {"OMP_NUM_THREADS": "1"})


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit", "ray_cluster"])
def test_the_numbers_are_those_of_jobs_one_by_one(
    launcher: str, one_by_one: dict[str, list[dict[str, float]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(PLUGINS[launcher])
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # each launcher says how many
    rows = sweep(launcher, tmp_path, {})
    assert all(row["eval/threads"] == 1 for run in rows.values() for row in run if "eval/threads" in row)
    assert rows == one_by_one
    assert len({json.dumps(run) for run in rows.values()}) == 4
