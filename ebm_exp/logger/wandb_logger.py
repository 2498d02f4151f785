"""Weights & Biases, without ever asking a question or waiting for a network that is not there."""

import logging
import os
from pathlib import Path
from typing import Any, Literal

log = logging.getLogger(__name__)
_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}
_INIT_TIMEOUT = 15  # seconds; with a key and no network, wandb's own default hangs for over a minute


class WandbRun:
    """One W&B run.

    Args:
        mode: ``auto`` obeys WANDB_MODE, goes online when a key is found in the environment or netrc (offline if that
            fails within 15 s), and is offline otherwise; ``online`` without a key is offline too, with a warning,
            for W&B would stop and ask; ``disabled`` does not import wandb.
        project, entity, tags: as W&B has them.
        group: null: the sweep's directory, the run's own name for a single run.
        dir: the folder whose ``wandb`` folder holds all runs.

    Attributes:
        id: the run's id, which a checkpoint keeps; None before the start and when nothing is logged.
        mode_used: what became of ``mode`` at the start.
    """

    def __init__(
        self,
        mode: Literal["auto", "online", "offline", "disabled"] = "auto",
        project: str = "ebm-exp",
        entity: str | None = None,
        group: str | None = None,
        tags: tuple[str, ...] = (),
        dir: str = "outputs",
    ) -> None:
        self.mode, self.project, self.entity, self.tags, self.dir = mode, project, entity, tags, dir
        self.own_group = group
        self._run: Any = None
        self._finished: dict[str, str] = {}
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
        """Open the run, or go on with ``run_id``; a ``group`` of the constructor wins over the argument."""
        mode = self.mode_used = self._choose_mode()
        self.id = run_id
        if mode == "disabled":
            return
        import wandb

        wandb.setup(settings=wandb.Settings(silent=True))  # the login speaks before the run's own settings hold
        Path(self.dir).mkdir(parents=True, exist_ok=True)
        arguments: dict[str, Any] = {
            "project": self.project,
            "entity": self.entity,
            "group": self.own_group or group,
            "tags": list(self.tags),
            "name": name,
            "id": run_id,
            "resume": "allow" if run_id and mode == "online" else None,
            "job_type": job_type,
            "config": config | {"run_dir": str(run_dir)},
            "dir": self.dir,
            "reinit": "finish_previous",
        }
        settings = wandb.Settings(silent=True, console="off", init_timeout=_INIT_TIMEOUT, login_timeout=1)
        try:
            self._run = wandb.init(mode=mode, settings=settings, **arguments)
        except (wandb.errors.CommError, wandb.errors.UsageError, TimeoutError) as error:
            if mode == "offline":
                raise
            log.warning("W&B is out of reach (%s); logging offline", str(error).splitlines()[0])
            self._run = wandb.init(mode="offline", settings=settings, **(arguments | {"resume": None}))
            self.mode_used = "offline"
        self._run.define_metric("*", step_metric="step")
        self.id = self._run.id

    def log(self, metrics: dict[str, float], step: int) -> None:
        """One row at our own step; wandb's step counter is left alone, so that a resume cannot collide with it."""
        if self._run is not None:
            self._run.log({"step": step} | metrics)

    def log_images(self, images: dict[str, Path], step: int) -> None:
        """PNG or GIF files by metric name."""
        if self._run is not None:
            import wandb

            self._run.log({"step": step} | {name: wandb.Image(str(path)) for name, path in images.items()})

    def summary(self, values: dict[str, Any]) -> None:
        """Single values of the whole run, e.g. the best metric, beside W&B's own last values."""
        if self._run is not None:
            self._run.summary.update(values)

    def finish(self, exit_code: int) -> None:
        """Close the run; 0 is success."""
        if self._run is not None:
            url = self._run.url if self.mode_used == "online" else None  # asking an offline run prints a warning
            self._finished = {"dir": self._run.dir, "url": url or ""}
            self._run.finish(exit_code=exit_code)
            self._run = None

    def hint(self) -> list[str]:
        """Where to look: the page of an online run, or the commands that show and upload an offline one."""
        if not self._finished:
            return []
        if self._finished["url"]:
            return [self._finished["url"]]
        folder = Path(self._finished["dir"]).parent
        here = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        return [f"wandb leet {here.parent}", f"wandb sync {here}"]

    def _choose_mode(self) -> Literal["online", "offline", "disabled"]:
        asked = self.mode if self.mode != "auto" else _MODES.get(os.environ.get("WANDB_MODE", ""), "auto")
        if asked in ("offline", "disabled"):
            return asked  # type: ignore[return-value]
        if _has_key():
            return "online"
        if asked == "online":
            log.warning("W&B has no key (`wandb login` stores one); logging offline")
        return "offline"


def _has_key() -> bool:
    """Whether W&B has credentials without a prompt. It reads its netrc itself: its host has names of old and new."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb
    from wandb.sdk.lib.wbauth import read_netrc_auth

    settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
    try:
        return bool(settings.api_key or read_netrc_auth(host=settings.base_url))
    except wandb.errors.AuthenticationError:  # there is one, malformed: the login says what is wrong with it
        return True
