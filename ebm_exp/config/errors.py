"""The one kind of error that a user is meant to read: a few plain lines, exit code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user typed or pointed at is wrong. The message names the key or path and what is allowed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``; nearest is …`` for a misspelt name, or what is allowed when nothing is near."""
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"nearest is {match[0]}" if match else f"choose from {', '.join(known)}" if known else "none is allowed here"
