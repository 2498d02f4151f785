"""The command line as one value: words taken apart once, asked by key, changed by functions from one to the next."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ebm_exp.config.override import Override, key_of, value_in
from ebm_exp.shell import config_dirs

_WITH_VALUE = {  # options of Hydra
    *("--cfg", "-c", "--info", "-i", "--package", "-p", "--config-dir", "-cd"),
    *("--config-path", "-cp", "--config-name", "-cn", "--experimental-rerun"),
}
_LOOKING = {"--help", "-h", "--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc"}


@dataclass(frozen=True)
class CommandLine:
    """What was typed behind ``train.py``, ``sample.py`` or ``evaluate.py``.

    Attributes:
        program: ``train``, ``sample`` or ``evaluate``.
        overrides: in the order typed.
        options: of Hydra, each followed by its value.
        held: overrides of a sweep's jobs, which Hydra does not get with those of the sweep as a whole.
    """

    program: str
    overrides: tuple[Override, ...]
    options: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @classmethod
    def read(cls, program: str, words: Iterable[str]) -> "CommandLine":
        """Take a command line apart; options may stand anywhere in it."""
        overrides: list[Override] = []
        options: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if not word.startswith("-"):
                overrides.append(Override.read(word))
                continue
            options.append(word)
            if word in _WITH_VALUE and rest and (word not in ("--info", "-i") or "=" not in rest[0]):
                options.append(rest.pop(0))
        return cls(program, tuple(overrides), tuple(options))

    @property
    def words(self) -> list[str]:
        """As Hydra reads it: options last, for between overrides (``experiment=plane -m seed=1,2``) it takes none."""
        return [*map(str, self.overrides), *self.options]

    @property
    def is_looking(self) -> bool:
        """Whether it only shows something."""
        return bool(_LOOKING & {option.split("=")[0] for option in self.options})

    @property
    def is_sweep(self) -> bool:
        """Whether it asks for several runs."""
        return bool({"-m", "--multirun"} & set(self.options)) or self.has("hparams_search")

    @property
    def trusts(self) -> bool:
        """Whether it says that the config of the run that it names is its user's own."""
        return (self.value("trust") or "").lower() in ("true", "yes", "on", "1", "y", "t")  # as it will be cast

    @property
    def config_dirs(self) -> list[Path]:
        """The folder of YAML files of one's own, if one is given."""
        return config_dirs(self.options)

    @property
    def keys(self) -> set[str]:
        """The keys that it sets or deletes, groups included."""
        return {override.key for override in self.overrides}

    def has(self, key: str) -> bool:
        """Whether it sets or deletes a key, or chooses of a group."""
        return key in self.keys

    def says(self, key: str) -> bool:
        """Whether it sets or deletes a key, in the jobs of a sweep too."""
        return self.has(key) or any(key_of(word) == key for word in self.held)

    def value(self, key: str) -> str | None:
        """The last value that a key was given, as text without quotes; None when it was not, or empty, or ``null``."""
        return value_in(self.overrides, key)

    def set(self, key: str, text: str) -> "CommandLine":
        """Another one, in which a key has one value.

        Args:
            key: of the config.
            text: as Hydra reads it, quotes included.
        """
        rest = self.without(key)
        return replace(rest, overrides=(*rest.overrides, Override("", key, text)))

    def without(self, *keys: str) -> "CommandLine":
        """Another one that says nothing of some keys."""
        return replace(self, overrides=tuple(each for each in self.overrides if each.key not in keys))

    def mapped(self, change: Callable[[Override], Sequence[Override]]) -> "CommandLine":
        """Another one, in which what a function gives stands in place of each override."""
        return replace(self, overrides=tuple(new for each in self.overrides for new in change(each)))
