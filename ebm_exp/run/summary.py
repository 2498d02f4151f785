"""summary.json of a run in training: what it is, where it stands, and how it ended."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from ebm_exp.files import disk_problem
from ebm_exp.guard.rule import Symptom
from ebm_exp.run.directory import RunDirectory

log = logging.getLogger(__name__)


class Summary:
    """The file as one start of a run writes it, on top of what earlier ones said.

    Args:
        directory: of the run.

    Attributes:
        before: what the file said before this start.
        metrics: the newest value of each number.
        symptoms: what a guard found and told, earlier starts included.
        refuted: what speaks against scores of the newest evaluation, by their names.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self.before = directory.summary()
        self.metrics: dict[str, float] = self.before.get("metrics", {})
        self.symptoms: list[dict[str, Any]] = list(self.before.get("symptoms", []))
        self.refuted: dict[str, str] = self.before.get("refuted", {})
        self._facts: dict[str, Any] = {}
        self._where: dict[str, Any] = {}

    def begin(self, facts: Mapping[str, Any], step: int, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """Say that the run is in training, from a step on, and what it is.

        Args:
            facts: what it is.
            step: so many are taken.
            rows: of metrics, up to there: what the file said of later ones is dropped, what it lost is found again.
        """
        self._facts, self._where = dict(facts), {"step": step, "best": self.before.get("best")}
        written = {key: _number(value) for row in rows for key, value in row.items() if key != "step"}
        self.metrics = written or self.metrics
        self._write()

    def update(self, step: int, best: Mapping[str, Any] | None) -> None:
        """Say where the run stands."""
        self._where = {"step": step, "best": best}
        self._write()

    def add_symptom(self, symptom: Symptom) -> None:
        """Say what a guard found; once, also when a run that was killed finds it again."""
        said = {"name": symptom.name, "step": symptom.step, "text": symptom.text}
        if said not in self.symptoms:
            self.symptoms.append(said)
            self._write()

    def end(self, state: str, how: Mapping[str, Any]) -> dict[str, Any]:
        """Say how the run ended; where the disk takes nothing, a warning does.

        Returns:
            All that the file is to say.
        """
        content = self._content(state) | dict(how)
        try:
            self._directory.write_summary(content)
        except OSError as error:
            log.warning("summary.json could not be written (%s)", disk_problem(error) or error)
        return content

    def _write(self) -> None:
        self._directory.write_summary(self._content("running") | self._where)

    def _content(self, state: str) -> dict[str, Any]:
        attempts = self.before.get("attempts", [])
        kept = {"metrics": self.metrics, "attempts": attempts, "symptoms": self.symptoms}
        return {"state": state, **self._facts, **kept} | ({"refuted": self.refuted} if self.refuted else {})


def _number(value: Any) -> Any:
    """A value of a row, in which numbers that are not finite are texts."""
    return float(value) if value in ("nan", "inf", "-inf") else value
