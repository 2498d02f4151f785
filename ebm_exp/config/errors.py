"""The one kind of error that a user is meant to read: a few plain lines, exit code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user typed or pointed at is wrong. The message names the key or path and what is allowed."""


UNFIT = (RuntimeError, ValueError, LookupError, TypeError, AttributeError)  # what a state of another kind raises


def unfit(error: Exception) -> str:
    """Why a state does not fit, in one line: torch gives the reasons below a heading."""
    detail = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {detail[min(1, len(detail) - 1)].strip()}"


def nearest(name: str, known: Iterable[str]) -> str:
    """What is allowed, after the nearest of it for a misspelt name."""
    known = sorted(known)
    if not known:
        return "none is allowed here"
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    allowed = f"choose from {', '.join(known)}"
    return f"nearest is {match[0]}; {allowed}" if match else allowed


def out_of_memory(error: BaseException) -> str | None:
    """What an error says of memory that ran out, in one line; None for any other. Told without torch."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if named or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
        line = (str(error).splitlines() or [""])[0][:200]
        return f"out of memory: {line}" + " (engine=eager takes less)" * ("CUDA" in line)
    return None
