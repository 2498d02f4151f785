"""A run that somebody else made: nothing of it is executed, sent or followed, whatever the command."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ebm_exp.config.errors import UserError
from ebm_exp.run import load_run
from ebm_exp.shell import override
from tests.warm import ROOT, SMALL, environment

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stranger(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "theirs")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A folder outside of the run that must stay as it is."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret\n")
    return folder


def untouched(canary: Path) -> bool:
    return {p.name: p.read_text() for p in canary.iterdir()} == {"secret.txt": "secret\n"}


def through(way: str, cli: Cli, run: Path, *more: str) -> tuple[int, str]:
    """Exit code and what is said, within five seconds of a process that has its imports behind it."""
    began = time.monotonic()
    if way == "load_run":
        try:
            load_run(run, device="cpu")
        except UserError as error:
            return 2, f"{error}\n"
        return 0, ""
    commands = {
        "sample": ("sample.py", f"run={run}", "n_samples=4", f"output_dir={run.parent}/drawn"),
        "evaluate": ("evaluate.py", f"run={run}", "evaluator=mmd", f"output_dir={run.parent}/evaluated"),
        "resume": ("train.py", f"resume={run}", "trainer.max_steps=5"),
        "init_from": ("train.py", *SMALL, f"init_from={run}", f"hydra.run.dir={run.parent}/new"),
    }
    done = cli(*commands[way], *more)
    assert time.monotonic() - began < 20  # beside other tests; 5 s alone
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def rewritten(run: Path, change: Callable[[dict], object]) -> None:
    file = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))


def appended(run: Path, text: str) -> None:
    with (run / ".hydra" / "config.yaml").open("a") as file:
        file.write(text)


JOB_LOGGING = {"version": 1, "handlers": {"x": {"()": "subprocess.call", "args": ["touch", "CANARY/made"]}}}
DOORS: dict[str, Callable[[Path, Path], None]] = {
    "pairs": lambda run, out: appended(run, f"x: !!pairs [_target_: os.system, command: touch {out}/made]\n"),
    "omap": lambda run, out: appended(run, "x: !!omap [_target_: '${name}']\n"),
    "object": lambda run, out: appended(run, f"x: !!python/object/apply:os.system [touch {out}/made]\n"),
    "alias bomb": lambda run, out: appended(run, "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True))),
    "recursive alias": lambda run, out: appended(run, "a: &a {b: *a}\n"),
    "200,000 keys": lambda run, out: appended(run, "".join(f"k{i}: {i}\n" for i in range(200_000))),
    "depth": lambda run, out: appended(run, "a: " + "[" * 100_000 + "\n"),
    "target": lambda run, out: rewritten(run, lambda c: c["energy"].update(_target_="os.system")),
    "target behind a reference": lambda run, out: rewritten(
        run, lambda c: c.update(a="os.system", energy=c["energy"] | {"_target_": "${a}"})),
    "assembled target": lambda run, out: rewritten(
        run, lambda c: c.update(a="os", b="system", energy=c["energy"] | {"_target_": "${a}.${b}"})),
    "target in depth": lambda run, out: rewritten(
        run, lambda c: c["energy"].update(activation=[{"x": {"_target_": "os.system", "a": f"touch {out}/made"}}])),
    "defaults in a group": lambda run, out: rewritten(
        run, lambda c: c["energy"].update(defaults=[{"/hydra/job_logging@_global_": "stdout"}])),
    "hydra": lambda run, out: rewritten(run, lambda c: c.update(hydra={"job_logging": JOB_LOGGING})),
    "hydra as a group": lambda run, out: rewritten(
        run, lambda c: c.update(hydra={"job": {"env_set": {"EBM_MADE": "1"}}, "defaults": []})),
    "assembled resolver": lambda run, out: rewritten(
        run, lambda c: c.update(notes="${a}${b}", a="$", b="{oc.env:HOME}")),
}  # fmt: skip


# Each config in this process; through each command (init_from reads none) one of each way in: a tag, a target, a key.
THROUGH = [("load_run", door) for door in DOORS]
THROUGH += [(way, door) for way in ("sample", "evaluate", "resume") for door in ("object", "target in depth", "hydra")]


@pytest.mark.parametrize(("way", "door"), THROUGH)
def test_no_config_opens_a_door(way: str, door: str, cli: Cli, stranger: Path, canary: Path) -> None:
    DOORS[door](stranger, canary)
    before = sorted(p.name for p in stranger.rglob("*"))
    code, said = through(way, cli, stranger)
    assert code == 2, said
    assert said.startswith(("run: ", "resume: "))
    assert said.count("\n") <= 3
    assert len(said) < 600
    assert untouched(canary)
    assert sorted(p.name for p in stranger.rglob("*")) == before  # nothing was begun


LOAD = "from ebm_exp.run import load_run; import sys; load_run(sys.argv[1], device='cpu')"


@pytest.mark.parametrize(
    ("command", "door"),
    [
        *((("sample.py", "run={}"), door) for door in ("alias bomb", "recursive alias", "200,000 keys", "depth")),
        (("train.py", "resume={}"), "alias bomb"),
        (("-c", LOAD, "{}"), "alias bomb"),
    ],
)
def test_a_door_costs_little(command: tuple[str, ...], door: str, stranger: Path, canary: Path) -> None:
    DOORS[door](stranger, canary)
    words = [sys.executable, *(word.format(stranger) for word in command)]
    limited = ["bash", "-c", 'ulimit -d 1048576 -t 5; exec "$@"', "-", *words]  # 1 GiB, 5 seconds
    done = subprocess.run(limited, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == (1 if command[0] == "-c" else 2), done.stderr
    assert f"{stranger}/.hydra/config.yaml " in done.stderr.splitlines()[-1]


PLACES = (
    *("metrics.jsonl", "summary.json", "train.log", ".lock", "report.html", "wandb.json", "samples", "checkpoints"),
    *("draws", "evaluation.json", "evaluations", ".hydra/config.yaml"),
    *("samples/step_00000005.png", "checkpoints/step_00000005.pt", "x/y/anything"),
)
# Each place in this process; through each command what it would open first.
LINKED = [("load_run", place) for place in PLACES]
LINKED += [("sample", "draws"), ("evaluate", "evaluation.json"), ("resume", ".lock"), ("init_from", "checkpoints")]


@pytest.mark.parametrize(("way", "place"), LINKED)
def test_no_link_is_followed(way: str, place: str, cli: Cli, stranger: Path, canary: Path) -> None:
    at = stranger / place
    if at.is_dir():
        shutil.move(at, canary.parent / "moved")
        at.symlink_to(canary.parent / "moved")
    else:
        at.parent.mkdir(parents=True, exist_ok=True)
        at.unlink(missing_ok=True)
        at.symlink_to(canary / "secret.txt")
    code, said = through(way, cli, stranger)
    key = {"sample": "run", "evaluate": "run", "load_run": "run"}.get(way, way)
    assert (code, said) == (
        2, f"{key}: {at} is a link, and a run may not lead out of itself; trust=true follows it\n"
    )  # fmt: skip
    assert untouched(canary)


def test_what_is_no_file_is_not_opened(cli: Cli, stranger: Path, canary: Path) -> None:
    os.mkfifo(stranger / "wandb.json")
    code, said = through("resume", cli, stranger)
    assert (code, said.split(" is ")[1][:17]) == (2, "no file or folder")
    (stranger / "wandb.json").unlink()
    (stranger / "metrics.jsonl").unlink()
    os.link(canary / "secret.txt", stranger / "metrics.jsonl")
    code, said = through("resume", cli, stranger)
    assert code == 2
    assert "metrics.jsonl is a file that has another name elsewhere" in said
    assert untouched(canary)


def test_a_begun_run_follows_no_link(cli: Cli, tmp_path: Path, canary: Path) -> None:
    """resume=auto in a folder that somebody prepared."""
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").symlink_to(canary / "secret.txt")
    done = cli("train.py", *SMALL, f"hydra.run.dir={run}", "resume=auto")
    assert done.returncode == 2
    assert done.stderr.startswith(f"hydra.run.dir: {run}/.lock is a link")
    assert untouched(canary)


def test_what_a_run_says_it_began_with_is_plain_too(cli: Cli, stranger: Path) -> None:
    (stranger / ".hydra" / "overrides.yaml").write_text("- !!python/name:os.system\n")
    done = cli("train.py", *SMALL, f"hydra.run.dir={stranger}", "resume=auto")
    file = stranger / ".hydra" / "overrides.yaml"
    assert done.returncode == 2
    assert done.stderr == f"hydra.run.dir: {file} holds a tag, tag:yaml.org,2002:python/name:os.system (line 1)\n"


def test_its_owner_may_follow_links(cli: Cli, stranger: Path, tmp_path: Path) -> None:
    shutil.move(stranger / "checkpoints", tmp_path / "scratch")
    (stranger / "checkpoints").symlink_to(tmp_path / "scratch")
    code, said = through("resume", cli, stranger, "trust=true")
    assert code == 0, said
    assert (tmp_path / "scratch" / "step_00000005.pt").is_file()
    code, said = through("sample", cli, stranger, "trust=true")
    assert code == 0, said


def test_side_effects_are_the_users(cli: Cli, stranger: Path, canary: Path) -> None:
    rewritten(stranger, lambda config: config["logger"].update(entity="theirs", dir=str(canary), mode="offline"))
    done = cli("train.py", f"resume={stranger}", "trainer.max_steps=5")
    assert done.returncode == 0, done.stderr
    assert "logger.entity: not taken from the run, which has 'theirs'; logger.entity=theirs takes it" in done.stdout
    assert untouched(canary)
    done = cli("sample.py", f"run={stranger}", "n_samples=4", f"output_dir={canary.parent}/drawn")
    assert done.returncode == 0, done.stderr
    assert untouched(canary)


# Every character that a shell, Hydra, YAML or a format would read; each for itself in test_line.py.
ODD = [' a=b,c it\'s ä (x) [y] {z} $HOME a;b&c #d ~ e\\f "g" %d*? run=h ', "-x"]


@pytest.mark.parametrize("name", ODD)
def test_a_run_of_any_name_passes_everywhere_and_what_is_printed_can_be_pasted(
    name: str, cli: Cli, trained: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained, tmp_path / name)
    typed = shlex.split(override("resume", run))
    done = cli("train.py", *typed, "trainer.max_steps=4")
    assert done.returncode == 0, done.stderr
    assert (run / "checkpoints" / "step_00000004.pt").is_file()
    printed = {words[0]: words[2:] for line in done.stdout.splitlines() if (words := _words(line))}
    draw = cli(*printed["draw"], "n_samples=4")
    assert draw.returncode == 0, draw.stderr
    assert list(run.glob("draws/*/samples.*"))
    judged = cli("evaluate.py", *shlex.split(override("run", run)), "evaluator=mmd", "evaluator.mmd.n_samples=16")
    assert judged.returncode == 0, judged.stderr
    assert (run / "evaluation.json").is_file()
    more = cli(*printed["train"], *SMALL, f"hydra.run.dir={tmp_path}/new")
    assert more.returncode == 0, more.stderr
    assert load_run(run, device="cpu").step == 4


def test_the_name_of_a_run_is_no_reference(cli: Cli, trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "${name}")
    for script, key in (
        ("train.py", "resume"),
        ("train.py", "init_from"),
        ("sample.py", "run"),
        ("evaluate.py", "run"),
    ):
        done = cli(script, *shlex.split(override(key, run)))
        assert done.returncode == 2
        assert done.stderr.startswith(f"{key}: a run directory whose name holds ${{ cannot be given; rename ")


def _words(line: str) -> list[str]:
    """``draw samples   python sample.py …`` as a shell reads it: draw, python, sample.py, …"""
    label, _, command = line.partition("python ")
    return [label.split()[0], "python", *shlex.split(command)] if command and label.split() else []


@pytest.mark.parametrize(
    "typed", ["name=../../x", "name=/tmp/x", "name='a/../../x'", "dataset.name=../x", "name=a/..", "+name=.."]
)
def test_runs_stay_inside_of_outputs(typed: str, cli: Cli) -> None:
    done = cli("train.py", *SMALL, typed)
    key = typed.partition("=")[0].lstrip("+")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{key}: must name a folder inside of outputs, got ")
