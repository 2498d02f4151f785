"""``python -m ebm_exp.run.export run=<run directory> to=<new folder>``: what a run has learned, in a few small files.

It leaves the config, the averaged weights of one checkpoint (``checkpoint=``: ``latest``, ``best`` or a step) with what
was learned beside them (a sampler's step size), and of summary.json what says what was trained, how and how well. No
optimizer, no buffer, no weights but the averages; neither process nor host. Paths stay as its command and config have
them. It is read as any run is: ``sample.py``, ``evaluate.py``, ``load_run``, ``init_from=``. What is not in it is
refused by a line.
"""

import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any, Literal

from ebm_exp.config.errors import UserError, nearest
from ebm_exp.config.override import Override
from ebm_exp.config.run_config import read_run_config
from ebm_exp.files import replace_text
from ebm_exp.run.archive import save
from ebm_exp.run.checkpoint import read_state
from ebm_exp.run.directory import RunDirectory
from ebm_exp.run.metrics import read_rows
from ebm_exp.shell import to_draw
from ebm_exp.terminal import complain, printable

LEFT_OUT = ("energy", "objective", "optimizer", "buffer", "guard")  # parts whose own states are not handed on
_OF_THE_MACHINE = ("pid", "host", "started", "wandb_id", "group", "reason")
_OF_ITS_LAST_STEP = ("metrics", "refuted", "minutes")
_KEYS = ("run", "to", "checkpoint")


def export(run: str | Path, to: str | Path, checkpoint: Literal["latest", "best"] | int = "latest") -> Path:
    """Write what a run has learned into a folder that is not there yet; all of it, or nothing.

    Args:
        run: the run directory.
        to: the new folder.
        checkpoint: ``latest``, ``best`` or a step that was kept.

    Returns:
        The folder.

    Raises:
        UserError: when the run or its checkpoint cannot be read, or the folder is there.
    """
    run, to = Path(run).expanduser(), Path(to).expanduser()
    if os.path.lexists(to):
        raise UserError(f"to: {to} is there already; name a new folder")
    if not to.parent.is_dir():
        raise UserError(f"to: {to.parent} is no folder")
    read_run_config(run)  # it is a run, and leads nowhere
    directory = RunDirectory(run)
    state = read_state(directory, checkpoint)
    step, summary = state["step"], directory.summary()
    rows = [line for line, row in read_rows(directory.metrics_file) if row["step"] == step]
    temporary = to.with_name(f".{to.name}.{secrets.token_hex(8)}.tmp")
    new = RunDirectory(temporary)
    try:
        (temporary / ".hydra").mkdir(parents=True)
        for name in ("config.yaml", "overrides.yaml"):
            if (file := run / ".hydra" / name).is_file():
                shutil.copyfile(file, temporary / ".hydra" / name)
        save(new.checkpoint(step), _without_training(state))
        new.write_summary(_facts(summary, step))
        if rows:  # scores of these weights: log Z is read from them
            replace_text(new.metrics_file, "".join(f"{line}\n" for line in rows))
        temporary.rename(to)  # which replaces no folder that holds anything
    except OSError as error:
        raise UserError(f"to: {to} could not be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return to


def _without_training(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint in which the parts that are left out say that they are."""
    best = state["best"] if (state["best"] or {}).get("step") == state["step"] else None
    parts = {name: None if name in LEFT_OUT else part for name, part in state["parts"].items()}
    facts = {"wandb_id": None, "best": best, "parts": parts | dict.fromkeys(LEFT_OUT)}
    kept = ("format", "step", "elapsed", "unevaluated", "rows", "ema")
    return {key: state[key] for key in kept if key in state} | facts


def _facts(summary: dict[str, Any], step: int) -> dict[str, Any]:
    """What summary.json of an export says."""
    is_last, best = summary.get("step") == step, summary.get("best")
    dropped = {*_OF_THE_MACHINE, *(() if is_last else _OF_ITS_LAST_STEP)}
    kept = {key: value for key, value in summary.items() if key not in dropped}
    is_best = isinstance(best, dict) and best.get("step") == step
    code = {"commit": (summary.get("code") or {}).get("commit")}  # its diff names files that stay behind
    return kept | {"code": code, "exported": True, "step": step, "best": best if is_best else None}


def main() -> None:
    """Export the run that the command line names."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    try:
        given = {each.key: each.text for each in map(Override.read, sys.argv[1:])}
        for key in given:
            if key not in _KEYS:
                raise UserError(f"{key}: is unknown here; {nearest(key, _KEYS)}")
        for key in ("run", "to"):
            if not given.get(key):
                raise UserError(f"{key}: is required; python -m ebm_exp.run.export run=<run directory> to=<new folder>")
        which: Any = given.get("checkpoint") or "latest"
        if which not in ("latest", "best") and not which.isdecimal():
            raise UserError(f"checkpoint: must be latest, best or a step, got {which}")
        to = export(str(given["run"]), str(given["to"]), int(which) if which.isdecimal() else which)
    except UserError as error:
        complain(str(error))
        sys.exit(2)
    size = sum(file.stat().st_size for file in to.rglob("*") if file.is_file())
    print(printable(f"{to}  {size / 1024:,.0f} kB\ndraw        {to_draw(to)}"))


if __name__ == "__main__":
    main()
