"""What a run logs, in the types of Weights & Biases."""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from ebm_exp.logger.base import Files, Histogram, Picture, Table, Value

MOST_BYTES = 32 * 2**20  # of a file that is uploaded; of a larger one, the place and the checksum are recorded


def converted(row: Mapping[str, Value]) -> dict[str, Any]:
    """A row as ``wandb.log`` takes it."""
    _make_folder()
    return {name: _value(value) for name, value in row.items()}


def _make_folder() -> None:
    """Where W&B puts images on the way: made on import, and removed by the first process that ends of those forked."""
    with contextlib.suppress(ImportError, AttributeError):
        from wandb.sdk.data_types._private import MEDIA_TMP

        os.makedirs(MEDIA_TMP.name, exist_ok=True)


def _value(value: Any) -> Any:
    import wandb

    if isinstance(value, Picture):
        source = value.source if not hasattr(value.source, "__fspath__") else str(value.source)
        return wandb.Image(source, caption=value.caption or None)
    if isinstance(value, Histogram):
        return wandb.Histogram(np_histogram=(value.counts, value.edges))
    if isinstance(value, Table):
        return wandb.Table(columns=list(value.columns), data=[[_value(cell) for cell in row] for row in value.rows])
    return value


def artifact(files: Files, run_id: str) -> Any:
    """The files as an artifact of the run, not copied: they stay where they are until they are uploaded."""
    import wandb

    made = wandb.Artifact(f"{files.name}-{run_id}", type=files.kind, metadata=dict(files.metadata))
    for path in files.paths:
        if path.stat().st_size > MOST_BYTES:
            made.add_reference(path.resolve().as_uri(), name=path.name)
        else:
            made.add_file(str(path), policy="immutable", skip_cache=True)
    return made
