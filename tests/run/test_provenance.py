"""What a run records of the process, the command and the code that train it."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ebm_exp.run import provenance
from ebm_exp.run.directory import RunDirectory


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("print(1)\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    monkeypatch.setattr(provenance, "__file__", str(folder / "provenance.py"))
    return folder


def test_the_code_is_its_commit_and_what_differs_from_it(checkout: Path, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    commit = git(checkout, "rev-parse", "HEAD")
    assert provenance.describe_code(run) == {"commit": commit, "diff": None, "untracked": []}
    (checkout / "train.py").write_text("print(2)\n")
    (checkout / "new.py").write_text("")
    told = provenance.describe_code(run)
    assert told is not None
    assert (told["commit"], told["untracked"]) == (commit, ["new.py"])
    git(checkout, "checkout", "-q", "train.py")
    git(checkout, "apply", str(run.path / told["diff"]))  # it is what git takes
    assert (checkout / "train.py").read_text() == "print(2)\n"
    (checkout / "train.py").write_text("print(3)\n")
    later = provenance.describe_code(run)
    assert later is not None
    assert later["diff"] != told["diff"]
    assert (run.path / told["diff"]).is_file()  # of the earlier session
    run.clear()  # a diff is the run's own
    assert [path.name for path in run.path.iterdir()] == []


def test_a_diff_that_is_too_large_is_told(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_LARGEST", 10)
    (checkout / "train.py").write_text("print(2)\n")
    told = provenance.describe_code(RunDirectory(tmp_path))
    assert told is not None
    assert told["diff"].endswith(" bytes, not kept")


def test_nothing_that_a_repository_names_is_run(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".gitattributes").write_text("*.py filter=mine diff=mine\n*.txt filter=a=b.c\n")
    (checkout / "a.txt").write_text("one\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "two")
    evil = f"touch {tmp_path}/made; cat"
    named = ("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "diff.mine.command", "alias.diff")
    named += ("diff.mine.textconv", *(f"filter.{n}.{way}" for n in ("mine", "a=b.c") for way in ("clean", "process")))
    with (checkout / ".git" / "config").open("a") as file:
        for name in named:
            section, _, key = name.rpartition(".")
            kind, _, sub = section.partition(".")
            file.write(f'[{kind}{f" {chr(34)}{sub}{chr(34)}" if sub else ""}]\n\t{key} = "{evil}"\n')
        file.write('[filter "mine"]\n\trequired = true\n')
    hook = checkout / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/made\n")
    hook.chmod(0o755)
    (checkout / "train.py").write_text("print(2)\n")
    (checkout / "a.txt").write_text("two\n")
    run = RunDirectory(tmp_path / "run")
    run.create()
    told = provenance.describe_code(run)
    assert told is not None
    assert "+print(2)" in (run.path / told["diff"]).read_text()
    assert "+two" in (run.path / told["diff"]).read_text()
    assert not (tmp_path / "made").exists()


def test_a_repository_that_one_stands_in_is_not_asked(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("GIT_DIR", str(checkout / ".git"))
    assert provenance.describe_code(RunDirectory(tmp_path)) is None


def test_without_a_checkout_or_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    monkeypatch.chdir(tmp_path)
    assert provenance.describe_code(RunDirectory(tmp_path)) is None
    monkeypatch.setenv("PATH", "")
    assert provenance.describe_code(RunDirectory(tmp_path)) is None


def test_it_names_the_process_and_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr("ebm_exp.shell._typed", ["energy.widths=[8, 8]", "seed=1"])
    told = provenance.describe(RunDirectory(tmp_path))
    assert told["pid"] == os.getpid()
    assert shlex.split(told["command"]) == ["python", "train.py", "energy.widths=[8, 8]", "seed=1"]
