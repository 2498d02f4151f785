"""The time that names a start's directory."""

import os
import time
from pathlib import Path

_CLAIMS = Path("outputs/.starts")  # one empty folder for each start of the last minute
_STALE = 60.0  # seconds


def claim_stamp() -> str:
    """The time that names this start's directory, with a number behind it if another start has taken this second."""
    _CLAIMS.mkdir(parents=True, exist_ok=True)
    for claim in _CLAIMS.iterdir():
        try:
            if time.time() - claim.stat().st_mtime > _STALE:
                claim.rmdir()
        except OSError:  # another start was quicker
            continue
    now, i = time.strftime("%Y-%m-%d_%H-%M-%S"), 0
    while True:
        stamp = f"{now}_{i}" if i else now
        try:
            os.mkdir(_CLAIMS / stamp)
        except FileExistsError:
            i += 1
        else:
            return stamp
