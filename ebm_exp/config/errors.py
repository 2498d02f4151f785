"""The one kind of error that a user is meant to read: a few plain lines, exit code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user typed or pointed at is wrong. The message names the key or path and what is allowed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """What is allowed, after the nearest of it for a misspelt name."""
    known = sorted(known)
    if not known:
        return "none is allowed here"
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    allowed = f"choose from {', '.join(known)}"
    return f"nearest is {match[0]}; {allowed}" if match else allowed
