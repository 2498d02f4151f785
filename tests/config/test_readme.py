"""What README.md and the pages of docs/ tell a reader to type is a command that composes; README's trainings run.

Its Python is run by tests/cli/test_notebook.py, its sample.py and evaluate.py by their neighbours; all blocks of all
pages, as printed, by tests/acceptance/test_pages.py.
"""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from PIL import Image

from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.mends import quote_home
from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import validate
from ebm_exp.evaluator import classifier
from tests.config.test_conf import DISTINCT, run_two_steps, smaller

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chains", "command_line", "data", "drawing", "flows", "ranks", "recipes", "sweeps")
PAGES = ["README.md", *(f"docs/{name}.md" for name in NAMES)]
PAGES += [f"docs/recipes/{file.name}" for file in sorted((ROOT / "docs" / "recipes").glob("*.md"))]
OPTIONS = {"-m", "--cfg", "job", "--resolve"}


def printed(page: str) -> list[str]:
    """The trainings of a page, each once: of its blocks, and within its lines."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^(?:python|torchrun .*) (train\.py.*)$", text, re.MULTILINE)
    found += re.findall(r"`python\s(train\.py\s[^`…]*)`", text)
    return list(dict.fromkeys(shlex.join(shlex.split(command, comments=True)) for command in found))


def kind(command: str) -> tuple[str, ...]:
    """What a command says beside numbers and places."""
    words = [word for word in shlex.split(command)[1:] if word not in OPTIONS]
    return tuple(word for word in words if not re.search(r"=[\d.,]+$|^dataset\.(root|path)=", word))


README = printed("README.md")
COMMANDS = list(dict.fromkeys(command for page in PAGES for command in printed(page)))
# One of a kind is run; tests/config/test_conf.py runs what is an experiment alone.
RUN = {kind(command): command for command in reversed(README) if " ".join(kind(command)) not in DISTINCT}


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10
    assert 5 < len(RUN) < len(README)


def first(override: str) -> str:
    """The first of the values that a sweep goes through."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    values = parsed.sweep_string_iterator() if parsed.is_discrete_sweep() else iter([str(parsed.value().start)])
    return f"{parsed.get_key_element()}={next(values)}"


def composed(command: str, *more: str) -> dict:
    """The config of a command, of a sweep that of its first job; a run that is named is called x."""
    words = shlex.split(command)[1:]
    line = CommandLine.read("train", [word for word in words if word not in OPTIONS])
    overrides = quote_home(line).words
    if "-m" in words:
        overrides = [first(override) for override in overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*(re.sub(r"<\w+>$", "x", override) for override in overrides), *more])
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes(command: str) -> None:
    validate(composed(command))


@pytest.mark.parametrize("command", RUN.values())
def test_command_of_the_readme_runs_two_steps(
    command: str, tmp_path: Path, unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "N_STEPS", 5)
    for i in range(20 if "image_folder" in command else 0):
        Image.new("RGB", (40, 32), (i, i, i)).save(tmp_path / f"{i}.png")
    run_two_steps(smaller(composed(command, "debug=smoke")), tmp_path, tmp_path, "optimized_metric" in command)
