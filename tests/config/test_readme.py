"""What README.md and the pages of docs/ tell a reader to type is a command that composes."""

import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.mends import quote_home
from ebm_exp.config.trust import CONF
from ebm_exp.config.validate import validate

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chains", "command_line", "data", "drawing", "flows", "ranks", "recipes", "sweeps")
FILES = (
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in NAMES),
    *sorted((ROOT / "docs" / "recipes").glob("*.md")),
)
PAGES = "".join(file.read_text(encoding="utf-8") for file in FILES)
BLOCKS = re.findall(r"^(?:python|torchrun .*) (train\.py.*)$", PAGES, re.MULTILINE)
INLINE = re.findall(r"`python\s(train\.py\s[^`…]*)`", PAGES)
COMMANDS = list(dict.fromkeys(shlex.join(shlex.split(each, comments=True)) for each in BLOCKS + INLINE))  # once each
OPTIONS = {"-m", "--cfg", "job", "--resolve"}


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10


def first(override: str) -> str:
    """The first of the values that a sweep goes through."""
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    values = parsed.sweep_string_iterator() if parsed.is_discrete_sweep() else iter([str(parsed.value().start)])
    return f"{parsed.get_key_element()}={next(values)}"


@pytest.mark.parametrize("command", COMMANDS)
def test_command_composes(command: str) -> None:
    words = shlex.split(command)[1:]
    line = CommandLine.read("train", [word for word in words if word not in OPTIONS])
    overrides = quote_home(line).words
    if "-m" in words:
        overrides = [first(override) for override in overrides]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[re.sub(r"<\w+>$", "x", override) for override in overrides])
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    validate({str(key): value for key, value in container.items()})
