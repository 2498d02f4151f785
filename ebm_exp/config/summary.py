"""What summary.json may hold: it may come from anywhere, and is checked in one place, where it is read."""

import json
from pathlib import Path
from typing import Any

from ebm_exp.files import opened

_CONTAINERS = ("metrics", "attempts", "symptoms", "data")  # null is an empty one


class SummaryError(ValueError):
    """What is wrong with a summary; the text says where."""


def read_summary(file: Path) -> dict[str, Any]:
    """The content of a summary.json; empty where there is none, or nothing in it yet.

    Raises:
        SummaryError: when it cannot be read, or holds something of another kind.
    """
    try:
        with opened(file, follow=True) as there:
            text = there.read().decode("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SummaryError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        content = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise SummaryError(f"cannot be read ({type(error).__name__}: {error})") from None
    from ebm_exp.config.shapes import Summary, wrong_in  # late: pydantic takes its time, and most starts read none

    if (wrong := wrong_in(Summary, content)) is not None:
        raise SummaryError(f"is no summary of a run ({wrong})")
    return {key: value for key, value in content.items() if value is not None or key not in _CONTAINERS}
