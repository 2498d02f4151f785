"""YAML as data: mappings with text keys, lists, texts, numbers, booleans and null, of limited size, and nothing else.

Tags, anchors and aliases are refused: a config that this project wrote has none. References (``${a.b}``) are resolved
here, once; what they lead to is not looked at again, so that no value can be assembled into a call of a resolver.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from ebm_exp.config.tree import look_up

LARGEST, DEEPEST, MOST = 2**20, 32, 20_000  # bytes of a file; levels; values, also after references
REFERENCE = re.compile(r"\$\{([\w.\[\]@/-]+)\}")
MISSING = "???"  # what only a user can fill in
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_GONE = object()
_SIMPLE = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_RESOLVER, _CONSTRUCTOR = Resolver(), SafeConstructor()


class PlainError(ValueError):
    """What is not plain; the text says what and where."""


def read(file: Path) -> Any:
    """The content of a file.

    Raises:
        PlainError: when it is no plain YAML.
        OSError: when it cannot be read.
    """
    with file.open("rb") as content:
        data = content.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise PlainError(f"is larger than {LARGEST:,} bytes")
    try:
        return load(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PlainError(f"is not text in UTF-8 ({error.reason})") from None


def load(text: str) -> Any:
    """The value that a text of one YAML document stands for; None for an empty one.

    Raises:
        PlainError: when it is no plain YAML.
    """
    try:
        return _Reader(text).document()
    except yaml.YAMLError as error:
        raise PlainError(f"cannot be read as YAML ({str(error).splitlines()[0]})") from None


class _Reader:
    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._left = MOST

    def document(self) -> Any:
        value: Any = None
        n_documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                n_documents += 1
                if n_documents > 1:
                    raise PlainError("holds more than one document")
                value = self._value(next(self._events), 0)
        return value

    def _value(self, event: Any, depth: int) -> Any:
        line = event.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            raise PlainError(f"holds more than {MOST:,} values")
        if depth > DEEPEST:
            raise PlainError(f"is deeper than {DEEPEST} levels (line {line})")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise PlainError(f"holds an anchor or alias (line {line})")
        if event.tag is not None:
            raise PlainError(f"holds a tag, {event.tag} (line {line})")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, line)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                items.append(self._value(event, depth + 1))
            return items
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, depth + 1)
            if not isinstance(key, str) or key in mapping:
                what = "a key that is no text" if not isinstance(key, str) else f"the key {key} twice"
                raise PlainError(f"holds {what} (line {event.start_mark.line + 1})")
            mapping[key] = self._value(next(self._events), depth + 1)
        return mapping


def _scalar(event: Any, line: int) -> Any:
    tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit) if event.implicit[0] else None
    if tag not in _SIMPLE:
        return event.value
    try:
        return _CONSTRUCTOR.construct_object(yaml.ScalarNode(tag, event.value))
    except (ValueError, ConstructorError):
        raise PlainError(f"holds a number that cannot be read (line {line})") from None


def resolve(config: Mapping[str, Any], live: tuple[str, ...] = ()) -> dict[str, Any]:
    """The config with every reference replaced by what it leads to.

    A value that would call a resolver becomes ``???``; a reference to one stays.

    Args:
        config: plain.
        live: keys at the top below which a reference to the same key stays: it follows what a user types there.

    Raises:
        PlainError: when a reference leads nowhere or in a circle, or a value would be a reference afterwards.
    """
    return _Resolution(config, live).everything()


class _Resolution:
    def __init__(self, config: Mapping[str, Any], live: tuple[str, ...]) -> None:
        self._config = config
        self._live = live
        self._left = MOST

    def everything(self) -> dict[str, Any]:
        return {key: self._value(value, key, ()) for key, value in self._config.items()}

    def _value(self, value: Any, path: str, through: tuple[str, ...]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise PlainError(f"holds more than {MOST:,} values once its references are resolved")
        if isinstance(value, dict):
            return {key: self._value(item, f"{path}.{key}", through) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, f"{path}.{i}", through) for i, item in enumerate(value)]
        return self._text(value, path, through) if isinstance(value, str) else value

    def _text(self, text: str, path: str, through: tuple[str, ...]) -> Any:
        if "${" in REFERENCE.sub("", text):
            return MISSING
        whole = REFERENCE.fullmatch(text)
        if whole:
            top = path.partition(".")[0]
            if top in self._live and _from_top(whole[1], path).startswith(f"{top}.") and not through:
                return text
            value = self._led_to(whole[1], path, through)
            return text if value == MISSING else value  # it follows what a user fills in there
        pieces = {key: self._inside(key, path, through) for key in REFERENCE.findall(text)}
        if any(piece == MISSING or "${" in piece for piece in pieces.values()):
            return MISSING
        found = REFERENCE.sub(lambda match: pieces[match[1]], text)
        if "${" in found:
            raise PlainError(f"{path} would be a reference once its references are resolved")
        return found

    def _inside(self, key: str, path: str, through: tuple[str, ...]) -> str:
        value = self._led_to(key, path, through)
        if isinstance(value, dict | list):
            raise PlainError(f"{path} refers to {key} inside of a text, which is no single value")
        return str(value)

    def _led_to(self, key: str, path: str, through: tuple[str, ...]) -> Any:
        key = _from_top(key, path)
        if key in through:
            raise PlainError(f"{path} refers to itself ({' → '.join([*through, key])})")
        node = look_up(self._config, key, _GONE)
        if node is _GONE:
            raise PlainError(f"{path} refers to {key}, which is not there")
        if len(through) >= DEEPEST:
            raise PlainError(f"{path} refers to {key} through more than {DEEPEST} references")
        return self._value(node, key, (*through, key))


def _from_top(key: str, path: str) -> str:
    """A reference as it is read from the top: with dots in front it goes up from where it stands.

    >>> _from_top("sampler.n_steps", "a.b.c"), _from_top(".d", "a.b.c"), _from_top("..d.0", "a.b.c")
    ('sampler.n_steps', 'a.b.d', 'a.d.0')
    """
    n_up = len(key) - len(key.lstrip("."))
    return ".".join([*path.split(".")[:-n_up], key[n_up:]]) if n_up else key
