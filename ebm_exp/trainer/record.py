"""Where a training writes: metrics.jsonl, summary.json, and a logger."""

import logging
from collections.abc import Mapping
from typing import Any

from ebm_exp.files import sync
from ebm_exp.guard import Symptom
from ebm_exp.logger import Files, Logger, Several
from ebm_exp.metrics import BEST
from ebm_exp.run import provenance
from ebm_exp.run.about import about, origin
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.metrics import append_row, truncate_after
from ebm_exp.run.summary import Summary

log = logging.getLogger(__name__)


class Record:
    """What is written of one session of a run.

    Args:
        directory: where files go.
        logger: where numbers and images go beside the directory.

    Attributes:
        summary: summary.json, once it is open.
    """

    summary: Summary

    def __init__(self, directory: RunDirectory, logger: Logger) -> None:
        self.directory = directory
        self.logger = logger
        self._last = 0, 0  # the step of the last row, and how many rows it has

    def begin(
        self,
        config: Mapping[str, Any],
        facts: Mapping[str, Any],
        *,
        step: int,
        n_rows: int | None,
        group: str | None,
        wandb_id: str | None,
    ) -> None:
        """Open all of it, to go on from a checkpoint: what was written after it is dropped.

        Args:
            config: of the run, resolved.
            facts: what there is to say of it beside its config.
            step: so many are taken.
            n_rows: the last of them had so many rows then; None: nobody counted.
            group: the sweep it belongs to; None: a single run.
            wandb_id: its W&B run so far.
        """
        self.summary = Summary(self.directory)
        truncate_after(self.directory.metrics_file, step, n_rows)
        rows = self.directory.metrics()
        self._last = step, sum(row["step"] == step for row in rows)
        before = self.summary.before
        # Of a single run: what is drawn from it joins it there.
        group = group or before.get("group") or "/".join(self.directory.path.parts[-2:])
        self.logger.start(about(self.directory, config, group, facts), wandb_id or before.get("wandb_id"))
        own = {"wandb_id": self.logger.id, "group": group}
        self.summary.begin(own | provenance.describe(self.directory) | dict(facts), step, rows)

    def repeat(self, step: int) -> None:
        """Tell the logger the rows of a step once more: it waits for the rest of them."""
        for row in self.directory.metrics():
            if row["step"] == step:
                self.logger.log({key: value for key, value in row.items() if key != "step"}, step)

    def write(self, step: int, row: dict[str, float], *, keep: bool) -> None:
        """A row for all who read.

        Args:
            step: so many are taken.
            row: numbers by name; empty: nothing is written.
            keep: the summary shows them too; not the last of a run that diverged.
        """
        if not row:
            return
        if keep:
            self.summary.metrics |= row
        append_row(self.directory.metrics_file, {"step": step} | row)
        self._last = step, self.count_rows(step) + 1
        self.logger.log(row, step)

    def count_rows(self, step: int) -> int:
        """How many rows the last step that has some has, if it is this one; else 0."""
        return self._last[1] if self._last[0] == step else 0

    def stand(self, step: int, best: Mapping[str, Any] | None) -> None:
        """Say which step is saved, and which evaluation was the best."""
        self.summary.update(step, best)

    def judge(self, step: int, verdicts: Mapping[str, str]) -> None:
        """What speaks against scores of a step, by their full names."""
        self.summary.refuted = dict(verdicts)
        for verdict in dict.fromkeys(verdicts.values()):
            log.warning("step %d: %s; no score of it is taken as the best", step, verdict)

    def sync(self) -> None:
        """Force the rows to the disk: a checkpoint that counts on them follows."""
        sync(self.directory.metrics_file)

    def tell(self, symptom: Symptom) -> None:
        """What a guard found in a training that goes on."""
        self.logger.alert(f"{self.directory.path}: {symptom.name}", symptom.text)
        self.summary.add_symptom(symptom)

    def end(self, state: str, how: Mapping[str, Any]) -> None:
        """Close all of it: how the run ended."""
        _finish(self.logger, self.directory, self.summary.end(state, how))


class Silent(Record):
    """What a rank writes that is not the first one: nothing.

    Args:
        directory: where the first one writes.
    """

    def __init__(self, directory: RunDirectory) -> None:
        super().__init__(directory, Several())

    def begin(self, *_: Any, **__: Any) -> None:
        pass

    def repeat(self, step: int) -> None:
        pass

    def write(self, step: int, row: dict[str, float], *, keep: bool) -> None:
        pass

    def stand(self, step: int, best: Mapping[str, Any] | None) -> None:
        pass

    def judge(self, step: int, verdicts: Mapping[str, str]) -> None:
        pass

    def sync(self) -> None:
        pass

    def tell(self, symptom: Symptom) -> None:
        pass

    def end(self, state: str, how: Mapping[str, Any]) -> None:
        pass


def _finish(logger: Logger, directory: RunDirectory, summary: Mapping[str, Any]) -> None:
    """Tell the logger how the run ended, and leave its best and last checkpoint with it.

    Args:
        logger: is closed.
        directory: of the run.
        summary: what summary.json says now.
    """
    told = {key: summary[key] for key in ("state", "reason", "failed_step", "failed_metric") if summary.get(key)}
    best, failed = summary["best"] or {}, summary["state"] in ("failed", "diverged")
    logger.summary(told | {BEST(key): value for key, value in best.items()})
    if failed:
        logger.alert(f"{directory.path} {summary['state']}", summary["reason"])
    if logger.keeps and summary["state"] != "stopped":  # that one goes on: its last checkpoint is to come
        steps = directory.checkpoint_steps()
        for step in dict.fromkeys(s for s in (best.get("step"), *steps[-1:]) if s in steps):
            is_best, is_last = step == best.get("step"), step == steps[-1]
            scored = {key: best[key] for key in ("metric", "value") if is_best}
            aliases = ("best",) * is_best + ("last",) * is_last
            file, came = directory.checkpoint(step), origin(directory, step) | scored
            logger.keep(Files("checkpoint", "model", (file,), came, aliases))
    logger.finish(int(failed))
