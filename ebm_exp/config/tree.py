"""Values of a config by their dotted keys."""

from collections.abc import Iterator, Mapping
from typing import Any


def look_up(config: Any, key: str, default: Any = None) -> Any:
    """The value at a dotted key, ``sampler.step_size``; in lists by number.

    Args:
        config: mappings and lists.
        key: empty for the config itself.
        default: what is returned where nothing stands.
    """
    node = config
    for part in key.split(".") if key else ():
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return default
    return node


def set_at(config: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key, in place; mappings on the way are made, anything else there stays as it is."""
    *path, last = key.split(".")
    for part in path:
        config = config.setdefault(part, {})
        if not isinstance(config, dict):
            return
    config[last] = value


def leaves(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping, or an empty one, with its dotted key."""
    if not isinstance(config, Mapping) or not config:
        yield path, config
        return
    for key, value in config.items():
        yield from leaves(value, f"{path}.{key}" if path else str(key))
