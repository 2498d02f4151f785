"""Several loggers at once."""

from collections.abc import Mapping
from typing import Any

from ebm_exp.logger.base import About, Files, Logger, Mode, Value


class Several(Logger):
    """Tells each of its loggers the same.

    Args:
        mode: ``disabled``: none of them is told anything; the YAML hands any other on to each.
        loggers: by any name; the first one's id is kept for the run's next session.
    """

    def __init__(self, mode: Mode = "auto", **loggers: Logger) -> None:
        self.loggers = {} if mode == "disabled" else loggers

    def start(self, about: About, run_id: str | None = None) -> None:
        """Open a run in each."""
        for each in self.loggers.values():
            each.start(about, run_id)
        self.keeps = any(each.keeps for each in self.loggers.values())
        self.id = next((each.id for each in self.loggers.values() if each.id), run_id)

    def log(self, values: Mapping[str, Value], step: int) -> None:
        """Values of a step."""
        for each in self.loggers.values():
            each.log(values, step)

    def commit(self) -> None:
        """Write the row of this step."""
        for each in self.loggers.values():
            each.commit()

    def summary(self, values: Mapping[str, Any]) -> None:
        """Single values of the whole run."""
        for each in self.loggers.values():
            each.summary(values)

    def alert(self, title: str, text: str) -> None:
        """Tell a person who is not looking."""
        for each in self.loggers.values():
            each.alert(title, text)

    def keep(self, files: Files) -> None:
        """Keep files with the run."""
        for each in self.loggers.values():
            each.keep(files)

    def finish(self, exit_code: int) -> None:
        """Close the run in each."""
        for each in self.loggers.values():
            each.finish(exit_code)

    def hint(self) -> list[str]:
        """Where to look in each."""
        return [line for each in self.loggers.values() for line in each.hint()]
