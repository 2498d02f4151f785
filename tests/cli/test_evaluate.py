"""evaluate.py as a user starts it."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.evaluations import section, taken
from tests.cli.test_several import JOBS, make_sweep
from tests.warm import SMALL

Cli = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("dataset.suggest.n_samples=64", "logger.mode=disabled")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def kept(run: Path) -> dict:
    return json.loads((run / "evaluation.json").read_text())


def test_numbers_are_kept_with_what_made_them(cli: Cli, run: Path) -> None:
    done = cli("evaluate.py", f"run={run}", "evaluator=[frechet,mmd]", *QUICK, process=True)
    assert done.returncode == 0, done.stderr
    scores, calls = kept(run)["scores"], kept(run)["calls"]
    assert set(scores) == {"frechet_pixels", "mmd2"}
    score = scores["frechet_pixels"]
    assert score["n"] == 64
    assert score["better"] == "lower"
    assert score["protocol"] == "pixels features, 64 samples against the train split"
    made = calls[score["call"]]
    assert (
        made["samples"]
        == "Langevin, effective temperature (approximate where a clamp acts) 0.0002: 5 steps from uniform noise"
    )
    assert (made["step"], made["weights"], made["checkpoint"], made["seed"]) == (3, "ema", "step_00000003.pt", 0)
    assert made["temperature"] == pytest.approx(2e-4)
    assert len(made["sha256"]) == 64
    assert made["command"].startswith(f"python evaluate.py run={run} 'evaluator=[frechet,mmd]'")
    assert {"torch", "torchmetrics", "ebm-exp", "python"} <= set(made["versions"])
    assert f"frechet_pixels {score['value']:.4g} 64 ↓" in " ".join(done.stdout.split())
    folder = next((run / "evaluations").iterdir())
    assert json.loads((folder / "evaluation.json").read_text())["scores"]["mmd2"]["value"] == scores["mmd2"]["value"]


def test_the_same_seed_gives_the_same_numbers_and_a_later_call_adds_to_them(cli: Cli, run: Path) -> None:
    values = []
    for i, typed in enumerate((["evaluator=[frechet,mmd]"], ["evaluator=mmd"], ["evaluator=mmd", "seed=1"])):
        done = cli("evaluate.py", f"run={run}", *typed, *QUICK, f"output_dir={run}/evaluations/{i}")
        assert done.returncode == 0, done.stderr
        values.append(kept(run)["scores"])
    assert values[0]["mmd2"]["value"] == values[1]["mmd2"]["value"] != values[2]["mmd2"]["value"]
    assert values[2]["frechet_pixels"] == values[0]["frechet_pixels"]
    assert set(kept(run)["calls"]) == {"0", "2"}  # nothing is left of the second
    assert kept(run)["calls"]["2"]["seed"] == 1


def test_the_runs_own_evaluators_give_what_training_measured(cli: Cli, tmp_path: Path) -> None:
    own = [a for a in SMALL if not a.startswith("evaluator=")]
    run = tmp_path / "run"
    done = cli("train.py", *own, "evaluator=mmd", "evaluator.mmd.n_samples=64", f"hydra.run.dir={run}",
               "optimized_metric=null")  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = cli("evaluate.py", f"run={run}", "logger.mode=offline")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = [row["eval/mmd2"] for row in rows if "eval/mmd2" in row]
    assert kept(run)["scores"]["mmd2"]["value"] == pytest.approx(trained[-1], rel=1e-5, abs=1e-7)
    assert "dashboard" in done.stdout


def test_what_cannot_be_evaluated_is_told(cli: Cli, run: Path) -> None:
    def said(*typed: str) -> str:
        done = cli("evaluate.py", *typed)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 3
        return done.stderr

    assert said().startswith("run: is required")
    assert said(f"run={run}/nowhere").startswith("run: ")
    assert said(f"run={run}").startswith("evaluator: none is chosen")
    assert said(f"run={run}", "evaluator=ais").startswith("evaluator.ais: ais needs a density exp(−E/T)/Z, and a clamp")
    assert said(f"run={run}", "evaluator=grid").startswith("evaluator.grid: a grid needs points in the plane")
    assert said(f"run={run}", "evaluator=mmd", "n_samples=3").startswith("n_samples: unknown key")
    assert said(f"run={run}", "evaluator=mmd", f"against={run}/nowhere").startswith("against: ")
    assert said(f"run={run}", "evaluator=mmd", "evaluator.mmd.n_samples=1").startswith("evaluator.mmd: n_samples must")
    assert said(f"run={run}", "evaluator=mdm").startswith("evaluator: ")
    assert not (run / "evaluation.json").exists()


def test_one_that_fails_costs_the_others_nothing(cli: Cli, run: Path) -> None:
    (run / "evaluation.json").write_text("{")
    typed = ["evaluator=[mmd,frechet]", "evaluator.frechet.features=classifier", "evaluator.frechet.cache_dir=/proc/x"]
    done = cli("evaluate.py", f"run={run}", *typed, *QUICK)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "frechet failed: FileNotFoundError" in done.stdout
    assert set(kept(run)["scores"]) == {"mmd2"}
    folder = next((run / "evaluations").iterdir())
    assert set(json.loads((folder / "evaluation.json").read_text())["failed"]) == {"frechet"}


def test_tables_of_results_are_written_from_runs(cli: Cli, run: Path) -> None:
    done = cli("evaluate.py", f"run={run}", "evaluator=[mmd,ood]", *QUICK)
    assert done.returncode == 0, done.stderr
    entry = taken(run)
    second = entry | {"training": entry["training"] | {"seed": 1}}
    page, both = section("One", [entry]), section("Two seeds", [entry, second])
    value = kept(run)["scores"]["mmd2"]["value"]
    assert f"\n| mmd2 | {value:.4g} | 64 | ↓ |\n" in page
    assert str(run) not in page
    calls = {name: call | {"failed": ["kid"]} for name, call in entry["calls"].items()}
    assert "; kid failed.\n" in section("One", [entry | {"calls": calls}])
    assert "failed" not in page
    assert "`python evaluate.py run=<run> evaluator=[mmd,ood] dataset.suggest.n_samples=64`" in page
    assert f"| mmd2 | {value:.4g} | {value:.4g} | 64 | ↓ |" in both
    assert re.search(r"^\| uniform \| \S+ ± \S+ \(\S+\) / ", both, re.MULTILINE)


def test_help_and_completion(cli: Cli, run: Path) -> None:
    assert cli("evaluate.py", f"run={run}", "--cfg", "job").returncode == 0
    done = cli("evaluate.py", "--help")
    assert done.returncode == 0, done.stderr


PAGES = [(Path(__file__).parents[2] / page).read_text(encoding="utf-8") for page in ("README.md", "docs/evaluation.md")]
COMMANDS = re.findall(r"^python evaluate\.py.*$", PAGES[0] + PAGES[1].partition("\n## ")[0], re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_pages_run(command: str, cli: Cli, run: Path) -> None:
    """As printed, on a run that is there; few samples, short chains."""
    words = [re.sub(r"outputs/digits/<.*>$", str(run), word) for word in shlex.split(command, comments=True)[2:]]
    if any("multirun" in word for word in words):
        swept = make_sweep(run, run.parent / "sweep", JOBS[2:3])
        words = [re.sub(r"outputs/multirun/digits/<.*>$", str(swept), word) for word in words]
        run = swept / "0"
    if not any(word.startswith("evaluator=") for word in words):
        words.append("evaluator=mmd")  # this run has none of its own
    if not any(word.startswith("sampling.n_steps=") for word in words):
        words.append("sampling.n_steps=10")
    done = cli("evaluate.py", *words, *QUICK)
    assert done.returncode == 0, done.stderr
    assert kept(run)["scores"]


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) >= 4
