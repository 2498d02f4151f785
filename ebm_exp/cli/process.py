"""The process of a command: it starts quickly, and where its reader goes away (``| head``) that costs no traceback and
no run.
"""

import atexit
import gc
import io
import os
import signal
import sys
from typing import Any, TextIO

from ebm_exp.terminal import Screen


class _Output(io.FileIO):
    """A standard stream that writes into nothing once nobody reads it."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())  # for what this process starts, too
            os.close(nothing)
            return len(data)


def begin(looking: bool) -> None:
    """Prepare this process.

    Args:
        looking: whether it only shows something. It then ends where its reader does, by SIGPIPE as other commands do;
            a run goes on, and its files hold what it has to say.
    """
    # Before torch is loaded: for how long its threads spin before they sleep (some 2 µs). Of a small network on two
    # threads, in steps/s alone and beside two busy processes: 5,100 and 310 for ten times as long, 4,550 and 1,610 like
    # this, 2,160 and 1,080 where they sleep at once. A network of convolutions takes it all the same.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if looking and hasattr(signal, "SIGPIPE"):  # Windows has none
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # A × must not end a run on a terminal that has none.
    sys.stdout = _reopen(sys.stdout, Screen)
    sys.stderr = _reopen(sys.stderr)  # where libraries draw their bars
    # What is imported stays. To look for garbage in it, again and again as it grows and once more at the end, takes a
    # quarter of a start. The garbage that an update leaves holds no tensors: it may wait for longer than by default.
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)


def hasten_hydra() -> None:
    """Let Hydra, and OmegaConf below it, do quickly what they do slowly by default."""
    import yaml

    if yaml.__with_libyaml__:  # OmegaConf takes the slow ones, by these names
        yaml.SafeLoader, yaml.Dumper = yaml.CSafeLoader, yaml.CDumper  # type: ignore[assignment, misc]
    from hydra._internal import defaults_list
    from hydra.core.config_store import ConfigStore

    # Hydra copies what it looks up choices in for each group that it lists: a second for --hydra-help. It may share it.
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    # For each file it makes a config of what a choice may refer to, whether one does or not: a third of composing.
    whole = defaults_list._create_interpolation_map
    if whole.__module__ == defaults_list.__name__:  # not yet done

        def needed(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
            refer = any(each.is_interpolation() for each in defaults)
            return whole(overrides, defaults, self_added) if refer else None

        defaults_list._create_interpolation_map = needed  # type: ignore[assignment]


def end(looking: bool) -> None:
    """End the process here if it was to show something: to take down what was imported is a tenth of its time."""
    if looking:
        sys.stdout.flush()
        os._exit(0)


def _reopen(stream: TextIO, kind: type[io.TextIOWrapper] = io.TextIOWrapper) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(stream.buffer, io.BufferedWriter | io.FileIO):
        return stream  # none, or what a test or a notebook has put there
    stream.flush()
    output = _Output(stream.fileno(), "w", closefd=False)
    buffered = isinstance(stream.buffer, io.BufferedWriter)  # else as by PYTHONUNBUFFERED
    return kind(
        io.BufferedWriter(output) if buffered else output,  # type: ignore[type-var]
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=not buffered,
    )
