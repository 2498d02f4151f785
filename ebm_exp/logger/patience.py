"""Calls into a library that may neither end nor hold up a training."""

import logging
import threading
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


def call(action: Callable[[], Any], seconds: float) -> Any:
    """What the action returns, waiting for so long at most: W&B waits for its helper process, whatever became of it.

    Raises:
        TimeoutError: when it does not return; it goes on in a thread that does not keep the process alive.
    """
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["value"] = action()
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=work, name="logger", daemon=True)
    thread.start()
    thread.join(min(seconds, threading.TIMEOUT_MAX))
    if "error" in outcome:
        raise outcome["error"]
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    return outcome["value"]


def attempt(library: str, verb: str, action: Callable[[], Any], seconds: float) -> bool:
    """Whether it was done within the time; if not, a warning says that the run goes on without the library."""
    try:
        call(action, seconds)
    except Exception as error:
        log.warning("%s could not %s (%s); going on without it", library, verb, reason(error))
        return False
    return True


def reason(error: Exception) -> str:
    """An error in one line."""
    details = getattr(error, "errors", None)  # pydantic's: its text is a page
    text = details()[0]["msg"] if callable(details) else str(error)
    return (text.strip() or type(error).__name__).splitlines()[0].removeprefix("Value error, ").rstrip(".")
