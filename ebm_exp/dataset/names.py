"""Classes and columns as a config calls them: by name, else by number.

Names are text; YAML, and Hydra, read some of them as something else: true, null, 1, 1e3.
"""

from collections.abc import Sequence

from ebm_exp.text import listed
from ebm_exp.types import Name

_LISTED = 20  # names in a line
_WORDS = {True: ("true", "yes", "on"), False: ("false", "no", "off"), None: ("null", "~")}


def find(called: Name, names: Sequence[str], from_the_end: bool = False) -> int | None:
    """The position that is meant; None for none.

    Args:
        called: a name, or a number from 0.
        names: in their order.
        from_the_end: negative numbers count from there.

    Raises:
        ValueError: when it is the name of several.
    """
    if isinstance(called, bool | float | None):
        found = [i for i, name in enumerate(names) if _reads_as(name, called)]
    else:
        found = [i for i, name in enumerate(names) if name == str(called)]
    if len(found) == 1:
        return found[0]
    if isinstance(called, str | bool | None) or called not in range(-len(names) * from_the_end, len(names)):
        number = None
    else:
        number = int(called) % len(names)
    if found and (number is None or isinstance(called, float)):
        raise ValueError(f"{called} is the name of several")
    return number


def find_classes(key: str, called: Name | Sequence[Name], names: Sequence[str]) -> list[int]:
    """The numbers of one class, or of several, by names or numbers.

    Args:
        key: what they were given as, for messages.
        called: one or several; at least one.
        names: of all classes, by number.

    Raises:
        ValueError: naming the classes there are.
    """
    asked = [called] if isinstance(called, str) or not isinstance(called, Sequence) else list(called)
    try:
        found = [k for each in asked if (k := find(each, names)) is not None]
    except ValueError as error:
        raise ValueError(f"{key}: {error}; quotes say which: {key}='…'") from None
    if found and len(found) == len(asked):
        return found
    got = called if isinstance(called, str) or not isinstance(called, Sequence) else asked
    if list(names) == [str(k) for k in range(len(names))]:
        raise ValueError(f"{key}: must be classes from 0 to {len(names) - 1}, got {got}")
    known = listed(names, _LISTED)
    raise ValueError(f"{key}: must be of the classes {known}, or of their numbers 0 to {len(names) - 1}, got {got}")


def _reads_as(name: str, value: bool | float | None) -> bool:
    """Whether a name that is written without quotes is read as a value."""
    if value is None or isinstance(value, bool):
        return name.lower() in _WORDS[value]
    try:
        return float(name) == value
    except ValueError:
        return False
