"""What a run is to Weights & Biases beyond one session: a file in the run directory, and the folder of each session."""

import glob
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ebm_exp.files import read_mapping, show_path, write_json

_NAME = "wandb.json"


def read(run_dir: Path, run_id: str | None) -> dict[str, Any]:
    """Project, entity, group, … and ``folders`` of a run that goes on; empty for any other run."""
    record = read_mapping(run_dir / _NAME)
    return record if run_id is not None and record.get("id") == run_id else {}


def write(run_dir: Path, run_id: str, chosen: Mapping[str, Any], folders: Iterable[Path]) -> None:
    """Keep what the run is, for its next session."""
    record = {"id": run_id, **chosen, "folders": [str(folder) for folder in folders]}
    write_json(run_dir / _NAME, record)


def pieces(known: Iterable[str], here: Path, run_id: str) -> list[Path]:
    """This session's folder, and those of earlier ones that were offline, the first one first.

    Args:
        known: folders of the record; they need not lie beside each other (WANDB_DIR).
        here: this session's folder.
        run_id: names folders of a run without a record.
    """
    found = [*map(Path, known), *here.parent.glob(f"offline-run-*-{glob.escape(run_id)}")]
    offline = [folder.resolve() for folder in found if folder.is_dir() and folder.name.startswith("offline-")]
    earlier = [folder for folder in dict.fromkeys(offline) if folder != here.resolve()]
    # Names have whole seconds: sessions of one second stay in the order of the record.
    return sorted([*earlier, here.resolve()], key=lambda folder: folder.name.removeprefix("offline-"))


def commands(folders: Iterable[Path], online: bool) -> list[str]:
    """What to type, in bash, to look at and upload the pieces of a run that are on this disk alone."""
    left = [folder for folder in folders if not list(folder.glob("*.wandb.synced"))]  # `wandb sync` leaves that file
    if not left:
        return []
    all_offline = all(folder.name.startswith("offline-") for folder in left)
    sync = "wandb sync " if all_offline else "wandb sync --include-online "
    look = [] if online else [f"wandb leet {_quote(left[-1].parent)}"]
    return [*look, sync + " ".join(map(_quote, left))]


def _quote(path: Path) -> str:
    return shlex.quote(str(show_path(path)))
