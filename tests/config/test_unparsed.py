"""The cure for a value that Hydra cannot parse, typed as it is printed."""

import re
import shlex
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep
from hydra.errors import HydraException

from ebm_exp.config.explain import explain


def told(word: str) -> list[str]:
    """What is said of an override, which must be one that Hydra refuses."""
    with pytest.raises(HydraException) as error:
        OverridesParser.create().parse_overrides([word])
    return explain(error.value, [word])


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("name=日本", "日本"),
        ('name=it\'s "ä" $HOME', 'it\'s "ä" $HOME'),
        ("name='日", "'日"),
        ("name=a=b", "a=b"),
        ("name=[", "["),
        ("~name=日", "日"),
        ("dataset.classes=[日本]", ["日本"]),
        ("dataset.classes=[日本,b c,x=y,'d,e',3,true]", ["日本", "b c", "x=y", "d,e", 3, True]),
        ("+dataset.classes=[1,[2,日]]", [1, [2, "日"]]),
        ("dataset.classes=[a(b),c]", ["a(b)", "c"]),
        ("dataset.suggest={a:日本,b:1,c:[é]}", {"a": "日本", "b": 1, "c": ["é"]}),
        ("name=日本,b", ["日本", "b"]),
        ("name=choice(日本,b)", ["日本", "b"]),
        ("name=shuffle(1,日)", [1, "日"]),
        ("name=f(日)", "f(日)"),
        ("seed=foo(1)", "foo(1)"),
        ("seed=range(a,b)", "range(a,b)"),
        ("seed=choice()", "choice()"),
    ],
)
def test_the_cure_is_taken(word: str, value: Any) -> None:
    lines = told(word)
    assert len(lines) <= 2
    assert lines[0].startswith(word.partition("=")[0])
    printed = re.search(r"(?:for the shell: |as a text it is )(.*)$", lines[-1])
    assert printed is not None, lines
    (typed,) = shlex.split(printed[1])
    (override,) = OverridesParser.create().parse_overrides([typed])
    assert override.key_or_group == word.partition("=")[0].lstrip("+~")
    read = override.value()
    read = [getattr(each, "text", each) for each in read.list] if isinstance(read, ChoiceSweep) else read
    assert read == value


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("seed=foo(1)", "seed=foo(1): Hydra has no function foo; choose from bool, choice, "),
        ("seed=rang(1,3)", "seed=rang(1,3): Hydra has no function rang; nearest is range; "),
        ("seed=choice()", "seed=choice(): empty choice is not legal; e.g. choice(a,b)"),
        ("seed=range()", "seed=range(): missing a required argument: 'start'; e.g. range(1,4), which is 1, 2 and 3"),
        ("seed=interval(1)", "seed=interval(1): missing a required argument: 'end'; e.g. interval(0.1,1)"),
        ("seed", "seed: has no value; seed=… gives it one, ~seed takes it away"),
    ],
)
def test_what_a_function_takes_is_said(word: str, line: str) -> None:
    assert told(word)[0].startswith(line)
