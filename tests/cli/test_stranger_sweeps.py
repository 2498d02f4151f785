"""A sweep that somebody else made: its folder is data, to the command that goes on with it and to its report."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ebm_exp.config.errors import UserError
from ebm_exp.run import load_run
from tests.warm import SMALL, Warm, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]
TINY = (*SMALL[:4], SMALL[5], "evaluator=mmd", "dataset.suggest.n_samples=16", "logger.mode=disabled", "device=cpu")
TINY += ("trainer.max_steps=2", "optimized_metric=eval/mmd2", "evaluator.mmd.bandwidths=[1]")
COMMANDS = {
    "grid": ("-m", "seed=1,2", *TINY),
    "search": ("-m", "hydra/sweeper=search", "hydra.sweeper.n_trials=2", "sampler.step_size=interval(1,2)", *TINY),
}


@pytest.fixture(scope="module")
def made(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A grid and a search, each whole."""
    folder = tmp_path_factory.mktemp("made")
    for kind, words in COMMANDS.items():
        done = warm.run(["train.py", *words, f"hydra.sweep.dir={folder}/{kind}"], environment(), folder, 240)
        assert done.returncode == 0, done.stderr
    return {kind: folder / kind for kind in COMMANDS}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A folder outside of the sweep that must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("a private key\n")
    (folder / "poetry.lock").write_text("mine\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.is_symlink()}


def entries(sweep: Path, change: Callable[[dict], dict | None]) -> None:
    """Rewrite the journal so that its last trial is one of a worker that died, and otherwise by ``change``."""
    lines = [json.loads(line) for line in (sweep / "journal.log").read_text().splitlines()]
    lines = [e for e in lines if not (e["op_code"] == 6 and e["trial_id"] == 1)]
    lines = [new for e in lines if (new := change(e)) is not None]
    (sweep / "journal.log").write_text("".join(json.dumps(e) + "\n" for e in lines))
    shutil.rmtree(sweep / "1")


def record(sweep: Path, **more: object) -> None:
    (sweep / "sweep.json").write_text(json.dumps(json.loads((sweep / "sweep.json").read_text()) | more))


def link(at: Path, to: Path) -> None:
    shutil.rmtree(at) if at.is_dir() and not at.is_symlink() else at.unlink(missing_ok=True)
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(to)


def evil(out: Path) -> str:
    return f"energy.activation={{_target_:os.system,command:'touch {out}/made'}}"


def overrides(e: dict, out: Path) -> dict:
    noted = e.get("user_attr", {})
    return e | ({"user_attr": {"overrides": [*noted["overrides"], evil(out)]}} if "overrides" in noted else {})


# What goes on as if it were not there: the command's own words count.
PASSED = {
    "overrides in the journal": ("search", lambda s, out: entries(s, lambda e: overrides(e, out))),
    "a pruner, metrics": ("search", lambda s, out: record(s, pruner={"name": "os.system"}, n=10**9)),
    "a grid that says it is a search": ("grid", lambda s, out: record(s, kind="search", pruner={"name": "x"})),
}


@pytest.mark.parametrize("name", PASSED)
def test_what_a_sweep_says_is_not_executed(
    name: str, cli: Cli, made: dict[str, Path], tmp_path: Path, canary: Path
) -> None:
    kind, change = PASSED[name]
    sweep = shutil.copytree(made[kind], tmp_path / "theirs")
    change(sweep, canary)
    before = contents(canary)
    done = cli("train.py", *COMMANDS[kind], f"hydra.sweep.dir={sweep}")
    assert "Traceback" not in done.stderr
    assert contents(canary) == before
    assert done.returncode == 0, done.stderr
    assert "2 finished" in done.stdout


REFUSED = {
    "arguments of another": (
        "grid", lambda s, out: record(s, arguments=[evil(out), *COMMANDS["grid"][1:]]), "is not of this command alone"
    ),
    "another space": (
        "search", lambda s, out: record(s, space={"params": ["seed=range(0,9)"], "when": {}}), "searches another space"
    ),
    "a journal that is text": ("search", lambda s, out: (s / "journal.log").write_text("x\ny\n"), "is no journal of "),
    "a value outside": (
        "search",
        lambda s, out: entries(s, lambda e: e | ({"param_value_internal": 9.0} if e["op_code"] == 5 else {})),
        "lies outside of its space: sampler.step_size=9.0",
    ),
    "a linked journal": ("search", lambda s, out: link(s / "journal.log", out / "secret.txt"), "journal.log is a link"),
    "a journal of two names": ("search", lambda s, out: twin(s / "journal.log", out), "has another name elsewhere"),
    "a journal that is a pipe": ("search", lambda s, out: pipe(s / "journal.log"), "is no file or folder"),
    "a linked record": ("grid", lambda s, out: link(s / "sweep.json", out / "secret.txt"), "sweep.json is a link"),
    "a record that is a pipe": ("grid", lambda s, out: pipe(s / "sweep.json"), "is no file or folder"),
    "a linked job": ("grid", lambda s, out: link(s / "1", out), "theirs/1 is a link"),
    "linked locks": ("grid", lambda s, out: link(s / ".locks", out), ".locks is a link"),
    "a linked lock": ("grid", lambda s, out: link(s / ".locks" / "1.lock", out / "poetry.lock"), "1.lock is a link"),
    "a lock of two names": ("grid", lambda s, out: twin(s / ".locks" / "1.lock", out), "has another name elsewhere"),
    "a linked report": ("grid", lambda s, out: link(s / "report.html", out / "secret.txt"), "report.html is a link"),
    "a job's linked rows": ("grid", lambda s, out: link(s / "1" / "metrics.jsonl", out / "x"), "metrics.jsonl is a "),
    "a job's summary that is a pipe": ("grid", lambda s, out: pipe(s / "1" / "summary.json"), "is no file or folder"),
}  # fmt: skip


def twin(at: Path, out: Path) -> None:
    at.parent.mkdir(exist_ok=True)
    at.unlink(missing_ok=True)
    os.link(out / "poetry.lock", at)


def pipe(at: Path) -> None:
    at.unlink()
    os.mkfifo(at)


@pytest.mark.parametrize("name", REFUSED)
def test_what_leads_out_of_a_sweep_is_refused_in_a_line(
    name: str, cli: Cli, made: dict[str, Path], tmp_path: Path, canary: Path
) -> None:
    kind, change, words = REFUSED[name]
    sweep = shutil.copytree(made[kind], tmp_path / "theirs")
    change(sweep, canary)
    before = contents(canary), contents(sweep) if "twin" not in name else {}
    began = time.monotonic()
    done = cli("train.py", *COMMANDS[kind], f"hydra.sweep.dir={sweep}", timeout=60)
    assert time.monotonic() - began < 20  # half a second alone
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(("sweep: ", "hydra.sweep.dir: "))
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert (contents(canary), contents(sweep)) == before


def test_a_folder_that_somebody_prepared_is_looked_at_first(cli: Cli, tmp_path: Path, canary: Path) -> None:
    run = tmp_path / "prepared"
    run.mkdir()
    for name in ("train.log", ".hydra", "metrics.jsonl"):
        (run / name).symlink_to(canary / "secret.txt")
        done = cli("train.py", *SMALL, f"hydra.run.dir={run}")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(f"hydra.run.dir: {run}/{name} is a link, and a run may not lead out of itself")
        (run / name).unlink()
    assert contents(canary)["secret.txt"] == b"a private key\n"


def test_settings_of_tools_in_a_run_do_not_act(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one stands in it: W&B would send its key to the server that its settings name."""
    run = shutil.copytree(trained, tmp_path / "theirs")
    load_run(run, device="cpu")
    for name in ("wandb/settings", ".wandb/settings", "matplotlibrc"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("[default]\nbase_url = https://elsewhere.org\n")
        load_run(run, device="cpu")  # from elsewhere nothing reads it
        for here in (run, run / Path(name).parent):
            monkeypatch.chdir(here)
            if (here / name).exists():
                with pytest.raises(UserError, match=r"would act on this command, which stands in the run; start it"):
                    load_run(run, device="cpu")
        monkeypatch.chdir(tmp_path)
        (run / name).unlink()
