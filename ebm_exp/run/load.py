"""``load_run``: a trained run by its directory."""

from pathlib import Path
from typing import Any, Literal

from ebm_exp.config.device import choose_device
from ebm_exp.config.errors import UserError
from ebm_exp.config.run_config import read_run_config
from ebm_exp.config.top import RunLevel
from ebm_exp.config.trust import ANY, allowed_by
from ebm_exp.config.validate import check_arguments, validate
from ebm_exp.run.loaded import LoadedRun


def load_run(
    path: str | Path,
    trust: bool = False,
    device: str = "auto",
    key: str = "run",
    *,
    weights: Literal["ema", "online"] = "ema",
    checkpoint: Literal["latest", "best", "diverged"] | int = "latest",
    needs_data: bool = False,
) -> LoadedRun:
    """A trained run by its directory. What is asked for is checked as on the command line.

    Args:
        path: the run directory.
        trust: accept any ``_target_`` in its config.
        device: ``auto``, ``cpu`` or ``cuda``.
        key: what gave the directory, for messages.
        weights: ``ema`` (averaged) or ``online``.
        checkpoint: ``latest``, ``best``, ``diverged`` (the step that showed it) or a step that was kept.
        needs_data: refuse a run whose data set is not there.

    Raises:
        UserError: when it is no run, has no checkpoint, or its config names what it may not (see ``config/trust.py``).
    """
    errors: list[str] = []
    asked: dict[str, Any] = {"weights": weights, "checkpoint": checkpoint, "trust": trust, "device": str(device)}
    asked = check_arguments("", RunLevel, asked, errors, partial=True)
    if errors:
        raise UserError("\n".join(errors))
    if not str(path).strip():
        raise UserError(f"{key}: is empty (unset variable?)")
    path = Path(path).expanduser()
    allowed = ANY if asked["trust"] else allowed_by(path, key=key)
    config = read_run_config(path, asked["trust"], key).values | {"device": str(choose_device(asked["device"]))}
    chosen = {name: asked[name] for name in ("weights", "checkpoint")}
    return LoadedRun(path, validate(config, allowed, config), allowed=allowed, key=key, needs_data=needs_data, **chosen)
