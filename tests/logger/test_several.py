"""Several loggers at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.config.validate import validate
from ebm_exp.logger import About, Files, Logger, Several, WandbRun
from tests.config.test_conf import composed


class Notes(Logger):
    """Keeps what it is told."""

    def __init__(self, id: str | None = None, keeps: bool = False) -> None:
        self.own, self.keeps, self.told = id, keeps, []  # type: list[Any]

    def start(self, about: About, run_id: str | None = None) -> None:
        self.id = run_id or self.own
        self.told.append(("start", about.name))

    def log(self, values: Mapping[str, Any], step: int) -> None:
        self.told.append((step, dict(values)))

    def commit(self) -> None:
        self.told.append("commit")

    def summary(self, values: Mapping[str, Any]) -> None:
        self.told.append(dict(values))

    def alert(self, title: str, text: str) -> None:
        self.told.append((title, text))

    def keep(self, files: Files) -> None:
        self.told.append(files)

    def finish(self, exit_code: int) -> None:
        self.told.append(exit_code)

    def hint(self) -> list[str]:
        return [str(self.own)]


def test_each_is_told_the_same_and_the_first_id_is_kept(tmp_path: Path) -> None:
    one, two = Notes(), Notes("two", keeps=True)
    both = Several(a=one, b=two)
    both.start(About("x", tmp_path))
    both.log({"a": 1.0}, 3)
    both.commit()
    both.summary({"b": 2})
    both.alert("t", "why")
    both.keep(Files("checkpoint", "model", (), {}))
    both.finish(1)
    assert one.told == two.told
    assert len(one.told) == 7
    assert (both.id, both.keeps, both.hint()) == ("two", True, ["None", "two"])


def test_disabled_tells_nobody(tmp_path: Path) -> None:
    one = Notes()
    both = Several("disabled", a=one)
    both.start(About("x", tmp_path), "abcd1234")
    both.log({"a": 1.0}, 3)
    both.finish(0)
    assert (one.told, both.id, both.hint()) == ([], "abcd1234", [])


def test_both_of_the_command_line() -> None:
    config = composed("logger=both", "logger.mode=disabled", "logger.wandb.tags=[a]")
    validate(config)
    assert config["logger"]["wandb"]["mode"] == config["logger"]["trackio"]["mode"] == "disabled"
    assert isinstance(Parts(config)["logger"], Several)
    assert isinstance(Parts(composed("logger.mode=disabled"))["logger"], WandbRun)
    with pytest.raises(UserError, match=r"logger\.wandb\.tag: unknown key"):
        validate(composed("logger=both", "+logger.wandb.tag=a"))
    with pytest.raises(UserError, match=r"logger\.mode: must be one of"):
        validate(composed("logger=both", "logger.mode=none"))
