"""What the environment says to Weights & Biases, checked before a training starts.

wandb is imported where it is used: a run without it does not pay for it.
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ebm_exp.logger.base import Mode
from ebm_exp.logger.patience import reason

log = logging.getLogger(__name__)
MODES: dict[str, Mode] = {
    **{"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"},
    "": "auto",
}
# Our key: W&B's variable, and its setting.
VARIABLES = {
    "project": ("WANDB_PROJECT", "project"),
    "entity": ("WANDB_ENTITY", "entity"),
    "group": ("WANDB_RUN_GROUP", "run_group"),
    "tags": ("WANDB_TAGS", "run_tags"),
    "dir": ("WANDB_DIR", "root_dir"),
    "name": ("WANDB_NAME", "run_name"),
    "job_type": ("WANDB_JOB_TYPE", "run_job_type"),
    "notes": ("WANDB_NOTES", "run_notes"),
}
_OURS = {"WANDB_MODE", *(variable for variable, _ in VARIABLES.values())}
_WAY_OUT = " (`wandb login` stores a key; logger.mode=offline needs none)"


def from_files() -> dict[str, str]:
    """What W&B's settings files say, those of this folder before those of this user: ``wandb disabled``, ``wandb
    offline`` and ``wandb init`` write there.
    """
    import wandb

    settings = wandb.Settings()
    folder = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    settings.settings_system = str(Path(folder).expanduser() / "settings")
    return settings.read_system_settings().all()


def from_environment(key: str) -> Any:
    """What W&B's variable, or else its settings files, say of one of our keys; None where that is nothing or blank."""
    variable, setting = VARIABLES[key]
    text = (os.environ.get(variable, "").strip() or from_files().get(setting, "")).strip()
    if key == "tags":
        return [tag.strip() for tag in text.split(",") if tag.strip()] or None
    return text or None


def choose_mode(mode: Mode) -> Mode:
    """The mode that our key asks for; where it is ``auto``, that of WANDB_MODE or WANDB_DISABLED, else of W&B's
    settings files; ``auto`` when nobody says, or these say ``online``.

    Raises:
        ValueError: when it is none of W&B's.
    """
    if mode != "auto":
        return mode
    asked = os.environ.get("WANDB_MODE", "")
    if not asked.strip() and os.environ.get("WANDB_DISABLED", "").strip().lower() in ("true", "1", "yes", "on"):
        return "disabled"
    where, said = ("WANDB_MODE", asked) if asked.strip() else ("mode in W&B's settings", from_files().get("mode", ""))
    chosen = MODES.get(said.strip().lower())
    if chosen is None:
        raise ValueError(f"{where} must be online, offline or disabled, got {said!r}")
    return "auto" if chosen == "online" and not asked.strip() else chosen


def check(asked: Mode, given: Mapping[str, Any]) -> None:
    """Refuse what W&B would refuse in the middle of a start, key by key and variable by variable.

    Args:
        asked: the mode; nothing is looked at for ``disabled``, an API key only where a run may go online.
        given: our keys; None where one is at its default.

    Raises:
        ValueError: naming the key or the variable.
    """
    if asked == "disabled":
        return
    import wandb

    for name, value in os.environ.items():
        if name.startswith("WANDB_") and name not in _OURS:
            _try(name, value, partial(wandb.Settings().update_from_env_vars, {name: value}))
    for key, (variable, setting) in VARIABLES.items():
        own = given.get(key) is not None
        value = given[key] if own else from_environment(key)
        if value is not None:
            _try(key if own else variable, value, partial(setattr, wandb.Settings(), setting, value))
    named = "dir" if given.get("dir") or not from_environment("dir") else "WANDB_DIR"
    folder = Path(given.get("dir") or from_environment("dir") or "outputs").expanduser()
    if not _can_write(folder):
        raise ValueError(f"{named} must be a folder that can be written to, got {str(folder)!r}")
    if asked != "offline":
        has_key()


def has_key() -> bool:
    """Whether W&B has credentials without a prompt. It reads its netrc itself: its host has names of old and new.

    Raises:
        ValueError: for a key that no server would take.
    """
    import wandb
    from wandb.sdk.lib.wbauth import check_api_key, read_netrc_auth

    if os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    key, source = os.environ.get("WANDB_API_KEY"), "WANDB_API_KEY"
    if not key:
        settings = set_up().settings
        try:
            key, source = settings.api_key or read_netrc_auth(host=settings.base_url), "the key in W&B's settings"
        except wandb.errors.AuthenticationError as error:
            raise ValueError(f"W&B's key in the netrc file is wrong: {reason(error)}{_WAY_OUT}") from None
    problem = check_api_key(key) if key else None
    if problem:
        raise ValueError(f"{source} is wrong: {problem.rstrip('.')}{_WAY_OUT}")
    return bool(key)


def set_up() -> Any:
    """W&B's state of this process, silent: its login speaks before a run's own settings hold.

    W&B does not see the variables that we read ourselves and hand on: it would stop at ``WANDB_MODE=OFFLINE``, or at
    a value that our key overrules.
    """
    import wandb

    if not may_ask_git():
        os.environ.setdefault("WANDB_DISABLE_GIT", "true")
    hidden = {name: os.environ.pop(name) for name in _OURS if name in os.environ}
    try:
        return wandb.setup(settings=wandb.Settings(silent=True))
    finally:
        os.environ.update(hidden)


def may_ask_git() -> bool:
    """Whether W&B may ask git, which runs what the settings of a repository name: where one stands in the checkout that
    this package lies in. A repository that one merely stands in may be anybody's.
    """
    here = Path(__file__).resolve().parents
    return Path.cwd() == next((folder for folder in here if (folder / ".git").exists()), None)


def new_id(in_sweep: bool) -> str | None:
    """The id that WANDB_RUN_ID names for a new run, but one of its own for a run of a sweep; None leaves it to W&B."""
    asked = os.environ.get("WANDB_RUN_ID", "").strip() or None
    if asked is None or not in_sweep:
        return asked
    from wandb.sdk.lib.runid import generate_id

    log.warning("WANDB_RUN_ID is ignored: it names a single run, and this one is of a sweep")
    return generate_id()


def _try(name: str, value: Any, use: Callable[[], Any]) -> None:
    import wandb

    try:
        use()
    except (ValueError, wandb.errors.UsageError) as error:
        shown = "" if "KEY" in name else f"{value!r}: "
        raise ValueError(f"{name} is wrong: {shown}{reason(error)}") from None


def _can_write(folder: Path) -> bool:
    """Whether a folder can be made and written to, told without making it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
