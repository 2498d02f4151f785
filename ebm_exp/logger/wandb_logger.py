"""Weights & Biases, without ever asking a question, waiting for a network that is not there, or ending a training."""

import contextlib
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ebm_exp.logger import wandb_record
from ebm_exp.logger.base import About, Files, LibraryLogger, Mode, Table, Value, convert
from ebm_exp.logger.patience import attempt, call, reason
from ebm_exp.logger.wandb_environment import (
    check,
    choose_mode,
    from_environment,
    has_key,
    may_ask_git,
    new_id,
    set_up,
)

log = logging.getLogger(__name__)
_MOST_BYTES = 32 * 2**20  # of a file that is uploaded; of a larger one, the place and the checksum are recorded
_INIT_TIMEOUT = 15  # seconds; with a key and no network, wandb's own default hangs for over a minute
_CALL_TIMEOUT = 10  # seconds for what takes milliseconds
_FINISH_TIMEOUT = 8.0  # seconds for the uploads that are left at the end, unless WANDB_FINISH_TIMEOUT says


class WandbRun(LibraryLogger):
    """One W&B run.

    W&B's own variables (WANDB_PROJECT, WANDB_ENTITY, WANDB_RUN_GROUP, WANDB_TAGS, WANDB_DIR, WANDB_NAME,
    WANDB_JOB_TYPE, WANDB_NOTES) and settings files are obeyed where the key of that name is null; WANDB_RUN_ID by a run
    that is not one of a sweep. A run that goes on stays what it was.

    Args:
        mode: ``auto`` obeys WANDB_MODE, else what ``wandb disabled`` or ``wandb offline`` left, goes online when a key
            is found in the environment or netrc (offline if that fails within 15 s), and is offline otherwise;
            ``online`` without a key is offline too, with a warning, for W&B would stop and ask; ``disabled`` does not
            import wandb.
        project: null: WANDB_PROJECT, else ebm-exp.
        entity, notes: as W&B has them.
        tags: beside the names of data set, energy and experiment.
        group: null: WANDB_RUN_GROUP, else the sweep's directory, the run's own name for a single run.
        dir: the folder whose ``wandb`` folder holds all runs; null: WANDB_DIR, else outputs.
        name, job_type: null: WANDB_NAME and WANDB_JOB_TYPE, else the run directory's with what was typed, and train or
            sample.
        artifacts: keep the best and the last checkpoint, and drawn samples, with the run; of a file above 32 MB, its
            place and checksum.

    Attributes:
        id: the run's id, which a checkpoint keeps; None before the start and when nothing is logged.
        mode_used: what became of ``mode`` at the start.

    Raises:
        ValueError: for a key, or a variable of W&B, that W&B would stop at.
    """

    def __init__(
        self,
        mode: Mode = "auto",
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        tags: tuple[str, ...] | None = None,
        dir: str | None = None,
        name: str | None = None,
        job_type: str | None = None,
        notes: str | None = None,
        artifacts: bool = True,
    ) -> None:
        super().__init__()
        self.mode, self.artifacts = mode, artifacts
        self._given = {
            "project": project, "entity": entity, "group": group, "tags": None if tags is None else list(tags),
            "dir": dir, "name": name, "job_type": job_type, "notes": notes,
        }  # fmt: skip
        check(choose_mode(mode), self._given)
        self._url = ""
        self._folders: list[Path] = []  # of all pieces of the run, earlier sessions' included
        self.mode_used: Literal["online", "offline", "disabled"] = "disabled"

    def start(self, about: About, run_id: str | None = None) -> None:
        """Open the run, or go on with ``run_id``; a key of the constructor wins over what the run says of itself."""
        self.id = run_id
        mode = self.mode_used = self._choose_mode()
        if mode == "disabled":
            return
        record = wandb_record.read(about.run_dir, run_id)
        own: dict[str, Any] = {"project": "ebm-exp", "dir": "outputs"}
        own |= {"group": about.group, "name": about.name, "job_type": about.job_type}
        given = self._given | {"notes": self._given["notes"] or about.notes}
        chosen = {key: _choose(key, given[key], record, own.get(key)) for key in given}
        if (entity := record.get("entity")) not in (None, chosen["entity"]):
            log.warning("logger.entity: not taken from the run, which has %r; logger.entity=… takes it", entity)
        chosen["dir"] = os.path.abspath(os.path.expanduser(chosen["dir"]))  # W&B's helper may live in another folder
        chosen["tags"] = list(dict.fromkeys([*about.tags, *(chosen["tags"] or [])])) or None
        begin = chosen | {"id": run_id or new_id(about.in_sweep)}
        modes: tuple[Literal["online", "offline"], ...] = ("online", "offline") if mode == "online" else ("offline",)
        for each in modes:
            try:
                self._run = self._open(each, begin, dict(about.config), goes_on=run_id is not None)
                break
            except Exception as error:
                going_on = "logging offline" if each == "online" else "going on without it"
                log.warning("W&B cannot be used (%s); %s", reason(error), going_on)
                _abandon()
        if self._run is None:
            self.mode_used = "disabled"
            return
        self.mode_used, self.keeps = each, self.artifacts
        self.id, here = self._run.id, Path(self._run.dir).parent
        self._url = (self._run.url or "") if each == "online" else ""  # asking an offline run prints a warning
        self._folders = wandb_record.pieces(record.get("folders", []), here, self._run.id)
        self._guard("be set up", lambda: self._run.define_metric("*", step_metric="step"))
        self._guard("be recorded", lambda: wandb_record.write(about.run_dir, self._run.id, chosen, self._folders))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Single values of the whole run, beside W&B's own last values."""
        self._guard("keep a summary", lambda: self._run.summary.update(dict(values)))

    def alert(self, title: str, text: str) -> None:
        """Have W&B send a message, as its user has set it up."""
        self.commit()
        self._guard("alert", lambda: self._run.alert(title=title, text=text, level="ERROR"))

    def keep(self, files: Files) -> None:
        """Log the files as an artifact."""
        if self.keeps:
            self._guard("keep files", lambda: _log_artifact(self._run, files))

    def finish(self, exit_code: int) -> None:
        """Close the run; 0 is success."""
        self.commit()
        if self._run is not None:
            limit = self._run.settings.finish_timeout
            self._guard("finish", lambda: self._run.finish(exit_code=exit_code), limit + 2 if limit else math.inf)
            if self._run is not None and self.mode_used == "online":
                self._folders = [folder for folder in self._folders if folder.name.startswith("offline-")]
            self._run = None

    def hint(self) -> list[str]:
        """Where to look: the page of an online run; the commands that show and upload what is on this disk alone."""
        return ([self._url] if self._url else []) + wandb_record.commands(self._folders, online=bool(self._url))

    def _write(self, row: dict[str, Value], step: int) -> None:
        """Log it under our own step; wandb's step counter is left alone: a resume cannot collide with it."""
        tables = {name: value for name, value in row.items() if isinstance(value, Table)}
        rest = {name: value for name, value in row.items() if name not in tables}
        self._guard("log", lambda: self._run.log({"step": step} | _convert_row(rest)))
        if tables:  # apart, for W&B asks its server about them
            self._guard("log a table", lambda: self._run.log({"step": step} | _convert_row(tables)))

    def _choose_mode(self) -> Literal["online", "offline", "disabled"]:
        asked = choose_mode(self.mode)
        if asked in ("offline", "disabled"):
            return asked  # type: ignore[return-value]
        if has_key():
            return "online"
        if asked == "online":
            log.warning("W&B has no key (`wandb login` stores one); logging offline")
        return "offline"

    def _open(
        self, mode: Literal["online", "offline"], chosen: dict[str, Any], config: dict[str, Any], goes_on: bool
    ) -> Any:
        import wandb

        Path(chosen["dir"]).mkdir(parents=True, exist_ok=True)
        finish_timeout = float(os.environ.get("WANDB_FINISH_TIMEOUT") or _FINISH_TIMEOUT)
        settings = wandb.Settings(
            silent=True, console="off", init_timeout=_INIT_TIMEOUT, login_timeout=1, save_code=True,
            finish_timeout=finish_timeout, finish_timeout_raises=True,
        )  # fmt: skip
        settings.disable_git = settings.disable_git or not may_ask_git()
        resume: Literal["allow"] | None = "allow" if goes_on and mode == "online" else None
        set_up()

        def action() -> Any:
            return wandb.init(
                mode=mode, settings=settings, config=config, resume=resume, reinit="finish_previous", **chosen
            )

        return call(action, 3 * _INIT_TIMEOUT)

    def _guard(self, verb: str, action: Callable[[], Any], seconds: float | None = None) -> None:
        """Do it within the time, or go on without W&B from here on, and say so."""
        if self._run is not None and not attempt("W&B", verb, action, seconds or _CALL_TIMEOUT):
            self._run = None
            _abandon()


def _convert_row(row: Mapping[str, Value]) -> dict[str, Any]:
    """A row as ``wandb.log`` takes it."""
    import wandb

    with contextlib.suppress(ImportError, AttributeError):
        from wandb.sdk.data_types._private import MEDIA_TMP

        # Where W&B puts images on the way: made on import, and removed by the first process that ends of those forked.
        os.makedirs(MEDIA_TMP.name, exist_ok=True)
    return {name: convert(value, wandb) for name, value in row.items()}


def _log_artifact(run: Any, files: Files) -> None:
    """Log files as an artifact of the run, not copied: they stay where they are until they are uploaded."""
    import wandb

    made = wandb.Artifact(f"{files.name}-{run.id}", type=files.kind, metadata=dict(files.metadata))
    for path in files.paths:
        if path.stat().st_size > _MOST_BYTES:
            made.add_reference(path.resolve().as_uri(), name=path.name)
        else:
            made.add_file(str(path), policy="immutable", skip_cache=True)
    run.log_artifact(made, aliases=list(files.aliases) or None)


def _choose(key: str, given: Any, record: Mapping[str, Any], default: Any) -> Any:
    """The given key, what the run was, W&B's variable, our default. Its folder and entity its user says anew."""
    for value in (given, None if key in ("dir", "entity") else record.get(key), from_environment(key)):
        if value is not None:
            return value
    return default


def _abandon() -> None:
    """Leave W&B's helper process, which its exit handler would wait for or complain of; the next run has a new one."""
    import wandb

    try:
        call(lambda: wandb.teardown(exit_code=1), 3)
    except (Exception, SystemExit):
        log.debug("W&B did not end in order", exc_info=True)
