"""Classes and columns as a config calls them: by name, else by number.

Names are text; YAML, and Hydra, read some of them as something else: true, null, 1, 1e3.
"""

from collections.abc import Sequence

from ebm_exp.types import Name

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


def _reads_as(name: str, value: bool | float | None) -> bool:
    """Whether a name that is written without quotes is read as a value."""
    if value is None or isinstance(value, bool):
        return name.lower() in _WORDS[value]
    try:
        return float(name) == value
    except ValueError:
        return False
