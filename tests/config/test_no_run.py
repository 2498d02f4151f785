"""What is no run directory says what it is, and what to type instead."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from ebm_exp.config.errors import UserError
from ebm_exp.config.no_run import refuse_no_run
from ebm_exp.config.run_config import read_run_config
from ebm_exp.run.checkpoint import load_initial_weights
from ebm_exp.run.load import load_run
from tests.warm import ROOT, environment


def make_run(folder: Path, config: str = "{}", **summary: object) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(config)
    (folder / "summary.json").write_text(json.dumps({"format": 3, **summary}))
    return folder


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of digits with what commands left in it, an older one, a sweep of three jobs, and W&B's folder."""
    monkeypatch.chdir(tmp_path)
    outputs = Path("outputs")
    make_run(outputs / "digits" / "2026-01-01_00-00-00")
    run = make_run(outputs / "digits" / "2026-02-01_00-00-00")
    for folder in ("checkpoints", "samples", "draws", "wandb/run-20260201_000000-abc123/files"):
        (run / folder).mkdir(parents=True)
    (run / "checkpoints" / "step_00001000.pt").touch()
    (run / "checkpoints" / "diverged.pt").touch()
    (run / "wandb.json").write_text('{"id": "abc123"}')
    make_run(run / "evaluations" / "2026-03-01_00-00-00", f"{{run: {run}, output_dir: x}}")
    sweep = outputs / "multirun" / "digits" / "2026-04-01_00-00-00"
    for i, (value, state) in enumerate([(0.3, "finished"), (0.2, "finished"), (0.1, "stopped")]):
        make_run(sweep / str(i), state=state, best={"metric": "eval/mmd2", "value": value, "better": "lower"})
    (sweep / "3").mkdir()
    (sweep / "sweep.json").write_text("{}")
    wandb = outputs / "wandb" / "offline-run-20260201_000000-abc123" / "files"
    wandb.mkdir(parents=True)
    (tmp_path / "a.pt").touch()
    return outputs


RUN = "run=outputs/digits/2026-02-01_00-00-00"
SWEEP = "outputs/multirun/digits/2026-04-01_00-00-00"
BEST = f"its best job: run={SWEEP}/1 (eval/mmd2 0.2)"
CASES = {
    "outputs/digits/2026-02-01_00-00-00/checkpoints/step_00001000.pt": f"a checkpoint of one; type {RUN} checkpoint=1",
    "outputs/digits/2026-02-01_00-00-00/checkpoints/diverged.pt": f"one; type {RUN} checkpoint=diverged",
    "outputs/digits/2026-02-01_00-00-00/samples": f"is not a run directory but a folder of one; type {RUN}",
    "outputs/digits/2026-02-01_00-00-00/summary.json": f"but a file of one; type {RUN}",
    "outputs/digits/2026-02-01_00-00-00/draws": f"but a folder of one; type {RUN}",
    "outputs/digits/2026-02-01_00-00-00/evaluations/2026-03-01_00-00-00": f"but what was made of one; type {RUN}",
    "outputs/digits/2026-02-01_00-00-00/evaluations/2026-03-01_00-00-00/summary.json": f"a file of one; type {RUN}",
    "outputs/wandb/offline-run-20260201_000000-abc123": f"but W&B's record of one; type {RUN}",
    "outputs/wandb/offline-run-20260201_000000-abc123/files": f"but W&B's record of one; type {RUN}",
    "outputs/wandb": "but W&B's record of one; runs lie under outputs",
    SWEEP: f"is not a run directory but a sweep of 4 jobs; {BEST}",
    f"{SWEEP}/3": f"is not a run directory yet: this job of a sweep has not begun; {BEST}",
    f"{SWEEP}/7": f"is not there: the sweep has no such job; {BEST}",
    f"{SWEEP}/sweep.json": f"but in the folder of a sweep; {BEST}",
    "outputs/digits": f"but a folder that holds 2 runs; the newest there: {RUN}",
    "outputs": f"but a folder that holds 2 runs; the newest there: {RUN}",
    "a.pt": "but a file; a run is a folder, as train.py has written it",
    "outputs/digts/2026-02-01_00-00-00": f"is not there; nearest is {RUN}",
    "outputs/digits/2026-02-01_00-00-01": "nearest is run=outputs/digits/2026-0",
    "2026-02-01_00-00-00": f"is not there; nearest is {RUN}",
    "/nowhere/at/all": "run: /nowhere/at/all is not there",
}


@pytest.mark.parametrize("path", CASES)
def test_what_it_is_and_what_to_type(path: str, outputs: Path) -> None:
    with pytest.raises(UserError) as refused:
        read_run_config(path)
    said = str(refused.value)
    assert said.startswith(f"run: {path} is not ")
    assert CASES[path] in said
    assert "\n" not in said


def test_what_is_typed_is_of_the_key(outputs: Path) -> None:
    def said(path: str, key: str, several: bool = False) -> str:
        with pytest.raises(UserError) as refused:
            refuse_no_run(path, key, several)
        return str(refused.value)

    assert said(f"{RUN[4:]}/checkpoints/step_00001000.pt", "init_from").endswith(f"; type init_from={RUN[4:]}")
    assert said(SWEEP, "against").endswith(f"its best job: against={SWEEP}/1 (eval/mmd2 0.2)")
    goes_on = f"a sweep of 4 jobs; the command that began it goes on with it; one job: resume={SWEEP}/2"
    assert said(SWEEP, "resume").endswith(goes_on)
    assert said("outputs/digits", "run", several=True).endswith("; all of them: \"run='outputs/digits/*'\"")


def test_a_notebook_is_told_the_same(outputs: Path) -> None:
    with pytest.raises(UserError, match=r"^run: .* is not a run directory but a sweep of 4 jobs; its best job: run="):
        load_run(SWEEP)
    with pytest.raises(UserError, match=r"^init_from: .* but a sweep of 4 jobs; its best job: init_from="):
        load_initial_weights(nn.Identity(), SWEEP)


def test_each_command_says_it_before_torch_is_imported(outputs: Path) -> None:
    commands = [
        ["sample", f"run={SWEEP}"],
        ["sample", f"run=[{RUN[4:]},{SWEEP}]", "mode=compose"],
        ["evaluate", f"{RUN}/samples"],
        ["evaluate", f"run=[{RUN[4:]},{RUN[4:]}/samples]"],
        ["evaluate", RUN, f"against={SWEEP}"],
        ["train", f"resume={SWEEP}"],
        ["train", f"init_from={RUN[4:]}/samples"],
        ["train", "-m", f"init_from={SWEEP},{RUN[4:]}"],
    ]
    script = f"""
import sys
sys.modules["torch"] = None
from ebm_exp.cli import commands
for program, *words in {commands!r}:
    sys.argv = [program + ".py", *words]
    try:
        getattr(commands, program)()
    except SystemExit as ended:
        print("exit", ended.code, file=sys.stderr)
"""
    env = environment() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()
    assert said[1::2] == ["exit 2"] * len(commands), done.stderr
    assert all("is not a run directory but a" in line for line in said[::2])
