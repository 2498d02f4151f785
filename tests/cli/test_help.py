"""``--help``: one screen of 80 columns, of what a command has, and examples that compose."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ebm_exp.cli import entry
from ebm_exp.cli.help import EXAMPLES, answer
from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.saved import find_start
from ebm_exp.cli.several import find_runs, line_of
from ebm_exp.config.compose import compose
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import GROUPS
from ebm_exp.config.trust import CONF
from tests.cli.test_several import make_sweep
from tests.config.test_readme import first
from tests.warm import ROOT


def said(program: str, *words: str) -> str:
    found = answer(CommandLine.read(program, [*words, "--help"]))
    assert found is not None
    return found


@pytest.mark.parametrize("program", EXAMPLES)
def test_it_is_one_screen(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, typed in ((f"{program}.py", f"python {program}.py"), (f"/bin/ebm-{program}", f"ebm-{program}")):
        monkeypatch.setattr(sys, "argv", [name])
        lines = said(program).splitlines()
        assert len(lines) <= 46
        assert max(map(len, lines)) <= 80
        assert sum(line.startswith(typed) for line in lines) == len(EXAMPLES[program]) == 6


def test_it_shows_what_a_command_has() -> None:
    train = said("train")
    missing = [
        group for group in set(GROUPS) - {"mode", "wandb_sweep"} if not re.search(rf"^  .*\b{group}\b", train, re.M)
    ]
    assert not missing
    for program in EXAMPLES:
        page, keys = said(program), yaml.safe_load((CONF / f"{program}.yaml").read_text())
        assert not [key for key in keys if key not in ("defaults", "others") and not re.search(rf"\b{key}\b", page)]
        assert program == "train" or not re.search("optimizer|trainer|objective|Hydra", page)
        (read,) = re.findall(r"docs/\w+\.md", page)
        assert (ROOT / read).is_file()


@pytest.mark.parametrize(("program", "i"), [(program, i) for program in EXAMPLES for i in range(6)])
def test_examples_compose(program: str, i: int, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = EXAMPLES[program][i][1].replace("<stamp>", "x").replace("<another>", "outputs/digits/x")
    if "outputs/digits/" in typed:
        shutil.copytree(trained, "outputs/digits/x")
    if "multirun" in typed:
        make_sweep(trained, tmp_path / "outputs/multirun/digits/x")
    line = entry.mend(CommandLine.read(program, [word for word in shlex.split(typed) if word != "-m"]))
    named = find_runs(line)
    start = find_start(line if named is None else line_of(line, named.runs[0]))
    words = start.line.words
    assert compose(start.primary, map(first, words) if program == "train" else words)


def test_choices_of_a_group(tmp_path: Path) -> None:
    assert re.search(r"^  two_moons +Two half circles with noise$", said("train", "dataset"), re.MULTILINE)
    assert re.search(r"^  du2021/cifar10 ", said("train", "experiment"), re.MULTILINE)
    (tmp_path / "energy").mkdir()
    (tmp_path / "energy" / "mine.yaml").write_text("# My own\n_target_: mine.Energy\n")
    both = said("train", "energy", "sampler", f"--config-dir={tmp_path}")
    assert re.search(r"^  mine +My own$", both, re.MULTILINE)
    assert re.search("^sampler=$", both, re.MULTILINE)
    assert max(map(len, both.splitlines())) <= 80
    with pytest.raises(UserError, match=r"^--help optimizer: .*choose from mode, sampler"):
        said("sample", "optimizer")


def test_it_imports_neither_torch_nor_hydra() -> None:
    command = [sys.executable, "-X", "importtime", "train.py", "experiment=plane", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not re.search(r"\| +(torch|hydra|omegaconf|rich)$", done.stderr, re.MULTILINE)
