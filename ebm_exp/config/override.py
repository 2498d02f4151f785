"""One override of a command line, ``sampler.step_size=2``, taken apart; its value is read by Hydra's own parser."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Override:
    """An override as typed.

    Attributes:
        sign: ``+`` adds a key, ``++`` adds or changes it, ``~`` deletes it; as a rule there is none.
        key: dotted, or a group, ``start@buffer.start``.
        text: what stands behind the ``=``; None: there is none.
    """

    sign: str
    key: str
    text: str | None = None

    @classmethod
    def read(cls, word: str) -> "Override":
        """Take a word of a command line apart."""
        key, given, text = word.partition("=")
        name = key.lstrip("+~")
        return cls(key.removesuffix(name), name, text if given else None)

    def __str__(self) -> str:
        return f"{self.sign}{self.key}" + ("" if self.text is None else f"={self.text}")

    @property
    def deletes(self) -> bool:
        """Whether it takes its key away."""
        return self.sign == "~"

    @property
    def group(self) -> str:
        """The group whose choice it would be."""
        return self.key.partition("@")[0]

    @cached_property
    def value(self) -> Any:
        """As Hydra reads it, without quotes; the text itself where Hydra cannot."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        try:
            return OverridesParser.create().parse_override(f"key={self.text}").value()
        except HydraException:
            return self.text

    @property
    def values(self) -> list[Any]:
        """Several, where a sweep chooses among them; else the one."""
        return list(getattr(self.value, "list", [self.value]))


def key_of(word: str) -> str:
    """The key of an override."""
    return Override.read(word).key


def value_in(words: Iterable[str | Override], key: str) -> str | None:
    """The last value that a key was given, as text without quotes; None when it was not, or empty, or ``null``."""
    read = [word if isinstance(word, Override) else Override.read(word) for word in words]
    given = [each for each in read if each.key == key and not each.deletes and each.text is not None]
    if not given or given[-1].value in (None, ""):
        return None
    value = given[-1].value
    return value if isinstance(value, str) else given[-1].text


def pairs(words: Iterable[str]) -> list[tuple[str, str]]:
    """Keys and values of overrides, as text."""
    return [(each.key, each.text or "") for each in map(Override.read, words)]
