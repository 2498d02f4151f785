"""YAML as data, and references that are resolved once."""

import time

import pytest
import yaml

from ebm_exp.config.plain import DEEPEST, LARGEST, MOST, PlainError, load, read, resolve


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [1, -2, 0.5, 1e-05, 1e300, float("inf"), True, False, None, "", "1", "true", "null", "1e-3", "2026-11-27"],
        {"a": {"b": [{"c": "x: y"}, []]}, "ä ö": "\u2028", "long": "x" * 500, "lines": "a\nb\n"},
    ],
)
def test_what_the_project_writes_is_read(value: object) -> None:
    assert load(yaml.safe_dump(value, allow_unicode=True)) == value


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system [ls]", "holds a tag, tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: !!pairs [b: 1]", "holds a tag, tag:yaml.org,2002:pairs"),
        ("a: !!omap [b: 1]", "holds a tag"),
        ("a: !!set {b, c}", "holds a tag"),
        ("a: !!binary aGk=", "holds a tag"),
        ("a: !mine b", "holds a tag, !mine"),
        (BOMB, r"holds an anchor or alias \(line 1\)"),
        ("&a [*a]", "holds an anchor or alias"),
        ("a: 1\n<<: {b: 2}\n1: c", r"holds a key that is no text \(line 3\)"),
        ("? [a]\n: b", "holds a key that is no text"),
        ("a: 1\na: 2", r"holds the key a twice \(line 2\)"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), f"is deeper than {DEEPEST} levels"),
        ("[" + "1," * (MOST + 1) + "]", f"holds more than {MOST:,} values"),
        ("a: " + "9" * 5000, r"holds a number that cannot be read \(line 1\)"),
        ("--- a\n--- b", "holds more than one document"),
        ("a: [", "cannot be read as YAML"),
        ("a: b: c", "cannot be read as YAML"),
        ("\x00", "cannot be read as YAML"),
    ],
)
def test_what_is_not_plain_is_refused(text: str, said: str) -> None:
    with pytest.raises(PlainError, match=said):
        load(text)


def test_a_file_that_is_too_large_or_no_text(tmp_path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(PlainError, match="is larger than 1,048,576 bytes"):
        read(file)
    file.write_bytes(b"a: \xff")
    with pytest.raises(PlainError, match="is not text in UTF-8"):
        read(file)


def test_depth_of_any_size_ends_soon() -> None:
    began = time.monotonic()
    for text in ("[" * 500_000, "{a: " * 200_000, "- " * 300_000, "\n".join(f"k{i}: {i}" for i in range(60_000))):
        with pytest.raises(PlainError):
            load(text)
    assert time.monotonic() - began < 5


def test_references_are_resolved_once() -> None:
    config = {
        "a": {"b": 3, "c": "${a.b}", "list": [1, {"d": "${e}"}]},
        "e": "text",
        "node": "${a}",
        "inside": "${e}/${a.b}",
        "item": "${a.list.0}",
    }
    a = {"b": 3, "c": 3, "list": [1, {"d": "text"}]}
    assert resolve(config) == {"a": a, "e": "text", "node": a, "inside": "text/3", "item": 1}


def test_references_from_where_they_stand() -> None:
    node = {"size": 8, "stand_in": {"name": "${....name}", "shape": [3, "${...size}"], "side": "${.shape.1}"}}
    config = {"name": "x", "a": {"b": node}, "c": "${a}"}
    said = {"size": 8, "stand_in": {"name": "x", "shape": [3, 8], "side": 8}}
    assert resolve(config) == {"name": "x", "a": {"b": said}, "c": {"b": said}}
    with pytest.raises(PlainError, match=r"a refers to nothing, which is not there"):
        resolve({"a": "${.nothing}"})


def test_a_live_key_keeps_references_to_itself() -> None:
    logger = {"mode": "auto", "wandb": {"mode": "${logger.mode}", "name": "${name}"}}
    resolved = resolve({"logger": logger, "name": "x", "other": "${logger.wandb.mode}"}, live=("logger",))
    assert resolved["logger"] == {"mode": "auto", "wandb": {"mode": "${logger.mode}", "name": "x"}}
    assert resolved["other"] == "auto"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"a": "${b}", "b": "${a}"}, "b refers to itself|a refers to itself"),
        ({"a": "${a}"}, "a refers to itself"),
        ({"a": {"b": "${a}"}}, "refers to itself"),
        ({"a": "${b.c}", "b": 1}, "a refers to b.c, which is not there"),
        ({"a": "x${b}", "b": [1]}, "a refers to b inside of a text, which is no single value"),
        ({"a": "${b}{c}", "b": "$"}, "a would be a reference"),
        (
            {f"k{i}": [f"${{k{i + 1}}}"] * 10 for i in range(12)} | {"k12": 1},
            "holds more than 20,000 values once its references are resolved",
        ),
    ],
)
def test_references_that_lead_nowhere(config: dict, said: str) -> None:
    with pytest.raises(PlainError, match=said):
        resolve(config)
