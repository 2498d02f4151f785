"""``report.html`` of a sweep or a run: one file to read anywhere, without script and without network.

``python -m ebm_exp.report <run or sweep>`` writes it; nothing here needs torch.
"""

import os
from pathlib import Path

from ebm_exp.config.errors import UserError
from ebm_exp.config.run_config import refuse_links
from ebm_exp.files import disk_problem, replace_text, show_path
from ebm_exp.terminal import complain


def write_report(path: str | Path, trust: bool = False) -> Path:
    """Write ``report.html`` into a sweep's directory, and its ``best.yaml``; or into a run's.

    Args:
        path: the directory.
        trust: follow links in it: what they lead to may come to stand in the report.

    Returns:
        The file.

    Raises:
        UserError: when the directory holds neither, or leads out of itself.
    """
    folder = Path(path)
    is_sweep = os.path.lexists(folder / "sweep.json")
    if not trust:
        refuse_links(folder, "report", "sweep" if is_sweep else "run", way="--trust")
    if is_sweep:
        from ebm_exp.report.sweep import build
    elif any((folder / name).is_file() for name in ("summary.json", "metrics.jsonl", "job.json")):
        from ebm_exp.report.run import build
    else:
        raise UserError(f"{folder}: no run and no sweep is there (no summary.json, no sweep.json)")
    file = folder / "report.html"
    replace_text(file, build(folder))
    return file


def tell_report(path: Path, label: str) -> None:
    """Write the report of a run or sweep that ended and print where it is; for want of one nothing is lost.

    Args:
        path: the directory.
        label: opens the line.
    """
    try:
        file = write_report(path, trust=True)  # what was there was looked at when the command began
        print(f"{label}{show_path(file)}", flush=True)
    except Exception as error:
        complain(f"{label}could not be written ({disk_problem(error) or f'{type(error).__name__}: {error}'})")
