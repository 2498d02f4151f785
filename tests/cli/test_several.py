"""evaluate.py of several runs: a list, a sweep's folder, a pattern; what came of all, and what is refused."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.several import find_runs
from ebm_exp.config.errors import UserError
from tests.warm import SMALL, Warm, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("dataset.suggest.n_samples=64", "logger.mode=disabled")


@pytest.fixture(scope="module")
def plane(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run on two moons, to be read."""
    folder = tmp_path_factory.mktemp("plane")
    done = warm.run(["train.py", "dataset=two_moons", *SMALL, f"hydra.run.dir={folder}/run"], environment(), folder, 60)
    assert done.returncode == 0, done.stderr
    return folder / "run"


JOBS = ((0.5, 1, 0.4), (0.5, 2, 0.3), (2.0, 1, 0.1), (2.0, 2, 0.2), (8.0, 1, None))  # step size, seed, what it reached


def make_sweep(trained: Path, sweep: Path, jobs: Sequence[tuple[float, int, float | None]] = JOBS) -> Path:
    """A sweep of step sizes and seeds as its files tell it: 2 and 3 are the better jobs; 4 diverged."""
    for i, (step_size, seed, value) in enumerate(jobs):
        job = shutil.copytree(trained, sweep / str(i))
        config = yaml.safe_load((job / ".hydra" / "config.yaml").read_text())
        config["sampler"]["step_size"], config["seed"] = step_size, seed
        (job / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
        varied = [f"sampler.step_size={step_size}", f"seed={seed}"]
        (job / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([*SMALL, *varied]))
        (job / "job.json").write_text(json.dumps({"number": i, "overrides": varied, "config": config}))
        summary = json.loads((job / "summary.json").read_text()) | {
            "state": "diverged" if value is None else "finished"
        }
        best = value and {"metric": "eval/mmd2", "value": value, "better": "lower", "step": 3}
        (job / "summary.json").write_text(json.dumps(summary | {"best": best}))
    record = {"kind": "grid", "keys": ["sampler.step_size", "seed"], "metrics": ["eval/mmd2"]}
    (sweep / "sweep.json").write_text(json.dumps(record | {"directions": {"eval/mmd2": "lower"}}))
    return sweep


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    return make_sweep(trained, tmp_path / "sweep")


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluations.json").read_text())


def words(line: str) -> list[str]:
    return line.split()


def test_runs_side_by_side_have_the_numbers_they_have_alone(
    cli: Cli, trained: Path, plane: Path, tmp_path: Path
) -> None:
    """One that cannot be read costs no other; other data are told; each keeps its numbers as if it had been alone."""
    torn = shutil.copytree(trained, tmp_path / "torn")
    for file in (torn / "checkpoints").iterdir():
        file.write_bytes(b"half of one")
    runs = [torn, *(shutil.copytree(run, tmp_path / name) for run, name in ((trained, "digits"), (plane, "moons")))]
    listed = f"run=[{','.join(map(str, runs))}]"
    done = cli("evaluate.py", listed, "evaluator=mmd", *QUICK, f"output_dir={tmp_path}/all")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    record = read(tmp_path / "all")
    assert (record["state"], [each["state"] for each in record["runs"]]) == (
        "failed",
        ["failed", "finished", "finished"],
    )
    assert record["asked"]["runs"] == list(map(str, runs))
    assert record["runs"][0]["reason"].startswith(f"run: {torn} has 1 checkpoints")
    alone = cli("evaluate.py", f"run={runs[2]}", "evaluator=mmd", *QUICK, f"output_dir={tmp_path}/alone")
    assert alone.returncode == 0, alone.stderr
    once = json.loads((tmp_path / "alone" / "evaluation.json").read_text())
    assert record["runs"][2]["scores"] == once["scores"]
    assert record["runs"][2]["protocols"] == once["protocols"]
    assert json.loads((tmp_path / "all" / "2_moons" / "evaluation.json").read_text())["scores"] == once["scores"]
    table = [words(line) for line in done.stdout.splitlines() if line]
    for run in ("digits", "moons"):
        kept = json.loads((tmp_path / run / "evaluation.json").read_text())["scores"]["mmd2"]["value"]
        assert any(row[0] == run and row[-1] == f"{kept:.4g}" for row in table)
    assert "torn failed: run: " in done.stdout
    assert "the runs were evaluated on different data" in done.stdout


def test_a_sweep_is_one_table_of_its_settings(cli: Cli, sweep: Path) -> None:
    done = cli("evaluate.py", f"run={sweep}", "top=1", "evaluator=mmd", *QUICK)
    assert done.returncode == 0, done.stderr
    (folder,) = (sweep / "evaluations").iterdir()
    record = read(folder)
    assert record["state"] == "finished"
    assert record["asked"] | {"runs": None} == {
        "run": str(sweep),
        "top": "1",
        "runs": None,
        "left_out": {"diverged": 1},
    }
    assert [(each["settings"], each["seed"]) for each in record["runs"]] == [
        ({"sampler.step_size": 2.0}, 1), ({"sampler.step_size": 2.0}, 2),
    ]  # fmt: skip
    (mean,) = record["means"]
    a, b = (each["scores"]["mmd2"]["value"] for each in record["runs"])
    assert a != b
    assert mean["scores"]["mmd2"] == {"value": pytest.approx((a + b) / 2), "se": pytest.approx(abs(a - b) / 2), "n": 2}
    table = [words(line) for line in done.stdout.splitlines() if line]
    assert ["run", "step_size", "seed", "mmd2", "↓"] in table
    assert ["2", "2.0", "1", f"{a:.4g}"] in table
    assert any(row[:3] == ["2", "seeds", "2.0"] and "±" in row for row in table)
    assert "left out: 1 diverged\n" in done.stdout
    assert (sweep / "2" / "evaluation.json").is_file()
    assert not (sweep / "0" / "evaluation.json").exists()


def test_what_one_of_them_does_not_take_is_told_before_the_first_begins(
    cli: Cli, trained: Path, tmp_path: Path
) -> None:
    first, second = (shutil.copytree(trained, tmp_path / name) for name in "ab")
    config = yaml.safe_load((second / ".hydra" / "config.yaml").read_text())

    def said(typed: str, **parts: dict[str, Any]) -> str:
        (second / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config | parts))
        done = cli("evaluate.py", f"run=[{first},{second}]", "evaluator=mmd", typed, *QUICK)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") <= 3
        return done.stderr

    hmc = {"_target_": "ebm_exp.sampler.HMC", "step_size": 0.1, "n_leapfrog": 2}
    assert said("sampler.noise_std=0.1", sampler=hmc).endswith(f"(with the config of {second})\n")
    assert said("evaluator=none").startswith("evaluator: none is chosen")
    hostile = {"_target_": "os.system", "command": f"touch {tmp_path}/built"}
    assert said("seed=1", energy=hostile).startswith(f"run: {second}/.hydra/config.yaml names energy._target_: 'os.sys")
    assert {path.name for path in tmp_path.iterdir()} <= {"a", "b", "stdout.txt", "stderr.txt"}
    assert not list(tmp_path.glob("*/eval*"))


def line(*words: str, program: str = "evaluate") -> CommandLine:
    return CommandLine.read(program, words)


def test_which_runs_are_meant(trained: Path, sweep: Path) -> None:
    def named(*typed: str) -> list[str] | None:
        found = find_runs(line(*typed))
        return None if found is None else [path.name for path in found.runs]

    assert named(f"run={sweep}") == ["2", "3", "0", "1"]
    assert named(f"run={sweep}", "top=1") == ["2", "3"]
    assert named(f"run={sweep}", "top=9") == ["2", "3", "0", "1"]
    assert named(f"run='{sweep}/*'") == ["0", "1", "2", "3", "4"]
    assert named(f"run='{sweep.parent}/swee?'", "top=1") == ["2", "3"]
    assert named(f"run=[{trained},{sweep}/0,{sweep}]", "top=1") == ["run", "0", "2", "3"]
    assert named(f"run=[{trained},{trained}]") == ["run"]
    assert named(f"run={trained}") is None
    assert find_runs(line(f"run=[{sweep},{sweep}]", program="sample")) is None
    (sweep / "1" / "checkpoints").rename(sweep / "none")
    begun = find_runs(line(f"run='{sweep}/*'"))
    assert begun is not None
    assert ([path.name for path in begun.runs], begun.left_out) == (["0", "2", "3", "4"], {"without a checkpoint": 1})
    whole = find_runs(line(f"run={sweep}"))
    assert whole is not None
    assert (whole.sweep, whole.left_out) == (sweep, {"diverged": 1})


def test_no_runs(trained: Path, sweep: Path) -> None:
    def said(*typed: str) -> str:
        with pytest.raises(UserError) as refused:
            find_runs(line(*typed))
        return str(refused.value)

    assert said(f"run={trained}", "top=3") == f"top: is of a sweep's settings, and run={trained} names no sweep"
    assert said(f"run={sweep}", "top=0") == "top: must be a whole number > 0, got 0"
    assert said("run='/nowhere/*'") == "run: /nowhere/* stands for 0 paths, and none of them is a run directory"
    assert said(f"run=[{trained},{trained}/samples]").endswith(
        f"is not a run directory but a folder of one; type run={trained}"
    )
    assert said("-m", f"run={sweep}").startswith("run: several runs are evaluated one after the other, without -m")
    assert said("hydra.run.dir=x", f"run={sweep}").startswith("hydra.run.dir: is of one run; of several output_dir=")
    shutil.copytree(trained, sweep.parent / "${oc.env:HOME}")
    assert said(f"run='{sweep.parent}/*'").startswith("run: a run directory whose name holds ${ cannot be given")
    (sweep / "link").symlink_to("/etc")
    assert "is a link" in said(f"run={sweep}")
    (sweep / "link").unlink()
    for job in range(4):
        (sweep / str(job) / "summary.json").write_text('{"state": "stopped"}')
    assert said(f"run={sweep}").endswith("none of its jobs has finished (1 diverged, 4 stopped)")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("evaluate.py -m run=a,b", "run: several runs are a list, without -m: 'run=[a,b]'"),
        ("evaluate.py run=a,b", "run: several runs are a list, without -m: 'run=[a,b]'"),
        ("sample.py -m run=a,b", "run: sample.py draws from one run; from several as one density by 'run=[a,b]' "
         "mode=compose"),
        ("sample.py run=[a,b]", "run: [a,b] is several; mode=compose draws from them as one density"),
        ("sample.py run=[a,b] mode=chain", "run: [a,b] is several; mode=compose draws from them as one density"),
    ],
)  # fmt: skip
def test_what_to_type_for_several(cli: Cli, typed: str, said: str) -> None:
    done = cli(*typed.split())
    assert (done.returncode, done.stderr) == (2, said + "\n")
