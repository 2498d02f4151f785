"""What a training needs of a process that is not its own, and puts back: where messages go, how torch computes."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ebm_exp.terminal import Printable

_LOGGING = threading.Lock()
_set_aside: list[tuple[int, bool]] = []  # how our logger was, for each training of this process
_FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"  # Hydra's
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def logs_of(file: Path) -> Iterator[None]:
    """Our messages go into the run's log and to the screen, of this thread alone; those of others where they went."""
    ours, thread = logging.getLogger("ebm_exp"), threading.get_ident()
    handlers: list[logging.Handler] = [logging.FileHandler(file, encoding="utf-8"), logging.StreamHandler(sys.stdout)]
    for each in handlers:
        each.setFormatter(Printable(logging.Formatter(_FORMAT)))
        each.addFilter(lambda record: record.thread == thread)
    with _LOGGING:
        _set_aside.append((ours.level, ours.propagate))
        ours.setLevel(logging.INFO)
        ours.propagate = False
        ours.handlers += handlers
    try:
        yield
    finally:
        with _LOGGING:
            ours.handlers = [each for each in ours.handlers if each not in handlers]
            ours.level, ours.propagate = _set_aside.pop()  # the last of several that run at once puts back the first's
        for each in handlers:
            each.close()


@contextmanager
def torch_as_it_was() -> Iterator[None]:
    """A training finds torch as a command does, with gradients and float32, and what it sets for all of torch
    (``deterministic=true``) is put back.
    """
    import torch

    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    deterministic, workspace = torch.are_deterministic_algorithms_enabled(), os.environ.get(_WORKSPACE)
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if workspace is None:
            os.environ.pop(_WORKSPACE, None)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        if deterministic != torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(deterministic)
