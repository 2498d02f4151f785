"""Text of others on its way to a screen or a log: what a terminal would obey is written out."""

import io
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    r"""The text with its control characters (C0 and C1) written out; lines and tabs stay.

    >>> printable("a\x1b[2Jb\x9b1m")
    'a\\x1b[2Jb\\x9b1m'
    """
    return text.translate(_CONTROLS)


class Screen(io.TextIOWrapper):
    """A standard output, or a log, that a terminal may show."""

    def write(self, text: str) -> int:
        return super().write(printable(text))


class _Raw:
    """A screen for what draws on it: its codes are its own."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def write(self, text: str) -> int:
        return io.TextIOWrapper.write(self._screen, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._screen, name)


def console(**options: Any) -> "Console":
    """A console of rich on the standard output: the texts it is given are made printable, its own codes are not.

    Args:
        options: of ``rich.console.Console``.
    """
    from rich.console import Console
    from rich.text import Text

    class Safe(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(printable(text), **how)

    raw: Any = _Raw(sys.stdout) if isinstance(sys.stdout, Screen) else None
    return Safe(file=raw, **options)


def complain(text: str) -> None:
    """Print to the standard error."""
    print(printable(text), file=sys.stderr, flush=True)


class Printable(logging.Formatter):
    """What another formatter gives, made printable."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return printable(self._inner.format(record))


def guard_logs() -> None:
    """Make printable what the handlers that there are write, files included."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, Printable):
            handler.setFormatter(Printable(handler.formatter))
