"""Weights & Biases, without ever asking a question, waiting for a network that is not there, or ending a training."""

import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ebm_exp.logger import wandb_record
from ebm_exp.logger.wandb_environment import Mode, asked_mode, call, check, from_environment, has_key, reason, set_up

log = logging.getLogger(__name__)
_INIT_TIMEOUT = 15  # seconds; with a key and no network, wandb's own default hangs for over a minute
_CALL_TIMEOUT = 60  # seconds for what takes milliseconds
_FINISH_TIMEOUT = 60.0  # seconds for the uploads that are left at the end, unless WANDB_FINISH_TIMEOUT says


class WandbRun:
    """One W&B run.

    W&B's own variables (WANDB_PROJECT, WANDB_ENTITY, WANDB_RUN_GROUP, WANDB_TAGS, WANDB_DIR, WANDB_NAME,
    WANDB_JOB_TYPE, WANDB_NOTES) are obeyed where the key of that name is null. A run that goes on stays what it was.

    Args:
        mode: ``auto`` obeys WANDB_MODE, goes online when a key is found in the environment or netrc (offline if that
            fails within 15 s), and is offline otherwise; ``online`` without a key is offline too, with a warning,
            for W&B would stop and ask; ``disabled`` does not import wandb.
        project: null: WANDB_PROJECT, else ebm-exp.
        entity, tags, notes: as W&B has them.
        group: null: WANDB_RUN_GROUP, else the sweep's directory, the run's own name for a single run.
        dir: the folder whose ``wandb`` folder holds all runs; null: WANDB_DIR, else outputs.
        name, job_type: null: WANDB_NAME and WANDB_JOB_TYPE, else the run directory's, and train or sample.

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
    ) -> None:
        self.mode = mode
        self._given = {
            "project": project, "entity": entity, "group": group, "tags": None if tags is None else list(tags),
            "dir": dir, "name": name, "job_type": job_type, "notes": notes,
        }  # fmt: skip
        check(asked_mode(mode), self._given)
        self._run: Any = None
        self._url = ""
        self._folders: list[Path] = []  # of all pieces of the run, earlier sessions' included
        self.id: str | None = None
        self.mode_used: Literal["online", "offline", "disabled"] = "disabled"

    def start(
        self,
        config: dict[str, Any],
        run_id: str | None,
        name: str,
        group: str | None,
        run_dir: Path,
        job_type: str = "train",
    ) -> None:
        """Open the run, or go on with ``run_id``; a key of the constructor wins over an argument."""
        self.id = run_id
        mode = self.mode_used = self._choose_mode()
        if mode == "disabled":
            return
        record = wandb_record.read(run_dir, run_id)
        defaults = {"project": "ebm-exp", "group": group, "dir": "outputs", "name": name, "job_type": job_type}
        chosen = {key: self._choose(key, record, defaults.get(key)) for key in self._given}
        chosen["dir"] = os.path.abspath(os.path.expanduser(chosen["dir"]))  # W&B's helper may live in another folder
        modes: tuple[Literal["online", "offline"], ...] = ("online", "offline") if mode == "online" else ("offline",)
        for each in modes:
            try:
                self._run = self._open(each, chosen | {"id": run_id}, config | {"run_dir": str(run_dir)})
                break
            except Exception as error:
                going_on = "logging offline" if each == "online" else "going on without it"
                log.warning("W&B cannot be used (%s); %s", reason(error), going_on)
                _abandon()
        if self._run is None:
            self.mode_used = "disabled"
            return
        self.mode_used = each
        self.id, here = self._run.id, Path(self._run.dir).parent
        self._url = (self._run.url or "") if each == "online" else ""  # asking an offline run prints a warning
        self._folders = wandb_record.pieces(record.get("folders", []), here, self._run.id)
        self._guard("be set up", lambda: self._run.define_metric("*", step_metric="step"))
        self._guard("be recorded", lambda: wandb_record.write(run_dir, self._run.id, chosen, self._folders))

    def log(self, metrics: dict[str, float], step: int) -> None:
        """One row at our own step; wandb's step counter is left alone, so that a resume cannot collide with it."""
        self._guard("log", lambda: self._run.log({"step": step} | metrics))

    def log_images(self, images: dict[str, Path], step: int) -> None:
        """PNG or GIF files by metric name."""

        def action() -> None:
            import wandb

            self._run.log({"step": step} | {name: wandb.Image(str(path)) for name, path in images.items()})

        self._guard("log images", action)

    def summary(self, values: dict[str, Any]) -> None:
        """Single values of the whole run, e.g. the best metric, beside W&B's own last values."""
        self._guard("keep a summary", lambda: self._run.summary.update(values))

    def finish(self, exit_code: int) -> None:
        """Close the run; 0 is success."""
        if self._run is not None:
            limit = self._run.settings.finish_timeout
            self._guard("finish", lambda: self._run.finish(exit_code=exit_code), limit + 30 if limit else math.inf)
            if self._run is not None and self.mode_used == "online":
                self._folders = [folder for folder in self._folders if folder.name.startswith("offline-")]
            self._run = None

    def hint(self) -> list[str]:
        """Where to look: the page of an online run; the commands that show and upload what is on this disk alone."""
        return ([self._url] if self._url else []) + wandb_record.commands(self._folders, online=bool(self._url))

    def _choose(self, key: str, record: dict[str, Any], default: Any) -> Any:
        """The given key, what the run was, W&B's variable, our default. A folder may be this machine's alone."""
        for value in (self._given[key], None if key == "dir" else record.get(key), from_environment(key)):
            if value is not None:
                return value
        return default

    def _choose_mode(self) -> Literal["online", "offline", "disabled"]:
        asked = asked_mode(self.mode)
        if asked in ("offline", "disabled"):
            return asked  # type: ignore[return-value]
        if has_key():
            return "online"
        if asked == "online":
            log.warning("W&B has no key (`wandb login` stores one); logging offline")
        return "offline"

    def _open(self, mode: Literal["online", "offline"], chosen: dict[str, Any], config: dict[str, Any]) -> Any:
        import wandb

        Path(chosen["dir"]).mkdir(parents=True, exist_ok=True)
        finish_timeout = float(os.environ.get("WANDB_FINISH_TIMEOUT") or _FINISH_TIMEOUT)
        settings = wandb.Settings(
            silent=True, console="off", init_timeout=_INIT_TIMEOUT, login_timeout=1,
            finish_timeout=finish_timeout, finish_timeout_raises=True,
        )  # fmt: skip
        resume: Literal["allow"] | None = "allow" if chosen["id"] and mode == "online" else None
        set_up()

        def action() -> Any:
            return wandb.init(
                mode=mode, settings=settings, config=config, resume=resume, reinit="finish_previous", **chosen
            )

        return call(action, 3 * _INIT_TIMEOUT)

    def _guard(self, verb: str, action: Callable[[], Any], seconds: float | None = None) -> None:
        """Do it within the time, or go on without W&B from here on, and say so."""
        if self._run is None:
            return
        try:
            call(action, seconds or _CALL_TIMEOUT)
        except Exception as error:
            log.warning("W&B could not %s (%s); going on without it", verb, reason(error))
            self._run = None
            _abandon()


def _abandon() -> None:
    """Leave W&B's helper process, which its exit handler would wait for or complain of; the next run has a new one."""
    import wandb

    try:
        call(lambda: wandb.teardown(exit_code=1), 5)
    except (Exception, SystemExit):
        log.debug("W&B did not end in order", exc_info=True)
