"""Keys and numbers as text for people."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Each key as short as tells it from the others.

    >>> short_keys(["seed", "sampler.step_size", "optimizer.lr", "schedule.lr"])
    {'seed': 'seed', 'sampler.step_size': 'step_size', 'optimizer.lr': 'optimizer.lr', 'schedule.lr': 'schedule.lr'}
    """
    words = {key: re.split(r"[.@/]", key) for key in keys}

    def is_clear(mine: list[str], n: int) -> bool:
        return all(other is mine or other[-n:] != mine[-n:] for other in words.values())

    ends = {key: next((n for n in range(1, len(w)) if is_clear(w, n)), len(w)) for key, w in words.items()}
    return {key: ".".join(words[key][-n:]) if n < len(words[key]) else key for key, n in ends.items()}


def finite(value: Any) -> float | None:
    """A finite number; None for all else, and for a number written as text that is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        value = float(value)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def number(value: float) -> str:
    """Four digits.

    >>> number(5.39021), number(12345678.0), number(0.5)
    ('5.39', '1.235e+07', '0.5')
    """
    return f"{value:.4g}" if not value or 1e-4 <= abs(value) < 1e6 else f"{value:.3e}"


def brief(text: str) -> str:
    """A value as typed; a number of many digits to four of them.

    >>> brief("7.427579810320023"), brief("0.001"), brief("1e-3"), brief("resnet_wide_deep")
    ('7.428', '0.001', '1e-3', 'resnet_wide_deep')
    """
    value = finite(text) if len(text) > 8 else None
    return text if value is None or text.lstrip("-").isdecimal() else number(value)


def listed(names: Sequence[str], most: int = 10) -> str:
    """The first names of many, with a sign that there are more."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def cut(text: str, longest: int) -> str:
    """A text that fits."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def describe(values: Mapping[str, str], names: Mapping[str, str]) -> str:
    """``step_size=2 lr=0.001``: values under the names of their keys, or under the keys."""
    return " ".join(f"{names.get(key, key)}={brief(value)}" for key, value in values.items())


def with_error(value: float, se: float) -> str:
    """A mean to the digits that its standard error leaves it.

    >>> with_error(5.39021, 0.1234), with_error(0.184, 0.0), with_error(1523.0, 210.0)
    ('5.39 ± 0.12', '0.184 ± 0', '1520 ± 210')
    """
    if se <= 0 or not math.isfinite(se):
        return f"{number(value)} ± {number(se)}"
    decimals = 1 - int(f"{se:.1e}".partition("e")[2])
    is_small = decimals > 6
    if decimals < -3 or (is_small and abs(value) < 1e-3):
        return f"{value:.3e} ± {se:.1e}"
    places = max(0, decimals)
    error = f"{se:.1e}" if is_small else f"{round(se, decimals):.{places}f}"
    return f"{round(value, decimals):.{places}f} ± {error}"


def duration(minutes: Any) -> str:
    """As a person would say it.

    >>> duration(0.12), duration(4.2), duration(130), duration(None)
    ('7 s', '4.2 min', '2.2 h', '')
    """
    value = finite(minutes)
    if value is None:
        return ""
    seconds = value * 60
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    return f"{value:.1f} min" if value < 100 else f"{value / 60:.1f} h"
