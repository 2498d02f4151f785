"""A sweep that somebody else made: its folder is data, to the command that goes on with it and to its report."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.warm import SMALL, Warm, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]
TINY = (*SMALL[:4], "evaluator=mmd", "dataset.suggest.n_samples=16", "logger.mode=disabled", "device=cpu")
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
    "arguments, overrides of another": ("grid", lambda s, out: record(s, arguments=[evil(out), *COMMANDS["grid"][1:]])),
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
