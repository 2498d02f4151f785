"""``ebm_exp.fit``: train on an array, in a notebook or a script, as ``train.py`` does on a file.

It is the command: its checks, its config, its claim of a folder, its training. What differs is what a command may do
to its process: nothing here touches ``sys.argv``, the working directory, the handlers of others' logs or what Hydra
keeps, and nothing exits.
"""

import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ebm_exp.cli.apart import logs_of, torch_as_it_was
from ebm_exp.cli.array import LARGEST, Array, hand_over
from ebm_exp.cli.claim import claim, claim_stamp, discard
from ebm_exp.cli.entry import mend
from ebm_exp.cli.launch import Launch, carry_out, tell, write_hydra
from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.saved import Start, find_start
from ebm_exp.config.errors import UserError
from ebm_exp.ranks import given
from ebm_exp.shell import in_python, remember, value_text

if TYPE_CHECKING:
    from ebm_exp.run.loaded import LoadedRun
    from ebm_exp.trainer.outcome import Outcome

_COMPOSING = threading.Lock()  # what Hydra composes of is the process's
_OPTIONS = ("--config-dir", "-cd")
_READS = ("table", "image_array")  # an array, as rows or as images


def fit(x: Any, y: Any = None, *overrides: str) -> "LoadedRun":
    """Train on an array: ``run = ebm_exp.fit(x, "experiment=table", "trainer.max_steps=500")``.

    It leaves the run directory that ``train.py dataset=table dataset.path=x.npy …`` leaves, and equals it bit for bit.
    The array is kept in it, as ``data.npy``, ``.npz`` or ``.parquet``, if it takes at most 1 GiB. A larger one lies
    there while it is trained on; afterwards its fingerprint alone is kept, and whoever goes on hands it over again.

    Ctrl-C, or a notebook's stop, ends the training after the running step, with a checkpoint, and what is trained so
    far is returned; a second one ends it within the step. ``fit(None, "resume=<run directory>")`` goes on.

    Args:
        x: rows ``[n, d]``; images ``[n, H, W]``, ``[n, H, W, C]`` or ``[n, C, H, W]`` (uint8 levels, other whole
            levels, floats in [0, 1]); of numpy or torch, or a data frame of polars or pandas. None: the data that the
            overrides name.
        y: the class of each, ``[n]``, numbers or text; None: there are none.
        overrides: as on the command line of ``train.py``.

    Raises:
        UserError: what the command would say in a line, when nothing has begun.
        DivergedError: when a guard ends the training.
        KeyboardInterrupt: when it was stopped before there was a checkpoint.
    """
    if isinstance(y, str):
        y, overrides = None, (y, *overrides)
    if wrong := [each for each in overrides if not isinstance(each, str)]:
        raise UserError(f"overrides: must be texts like 'trainer.max_steps=500', got {type(wrong[0]).__name__}")
    if x is None and y is not None:
        raise UserError("y: are the classes of x, and there is no x; fit(None, 'dataset=…') reads data with theirs")
    line = CommandLine.read("train", overrides)
    try:
        _check(line, x is not None)
        array = None if x is None else hand_over(x, y)
        with in_python():
            return _fit(line, array)
    except UserError as error:
        raise error.with_traceback(None) from None  # its line says all, in a notebook too
    except Exception as error:
        if (told := tell(error, line)) is None:
            raise
        raise UserError(told) from error


def _check(line: CommandLine, has_array: bool) -> None:
    """Refuse what is of a command alone, and other data beside an array."""
    options = [each for each in line.options if each[0] == "-" and each.partition("=")[0] not in _OPTIONS]
    if options or line.is_sweep:
        raise UserError(f"{options[0] if options else 'hparams_search'}: fit trains one run; train.py takes this")
    if not given().alone:
        raise UserError("torchrun: fit is one process; train.py trains by several")
    if not has_array:
        return
    if line.has("dataset.path"):
        raise UserError("dataset.path: is where the array is kept; fit(None, …) reads a file")
    if (chosen := line.value("dataset")) is not None and chosen not in _READS:
        raise UserError(f"dataset: must be one that reads an array, {' or '.join(_READS)}, got {chosen}")


class _Composed(NamedTuple):
    start: Start
    config: Any  # with Hydra's part
    notes: tuple[str, ...]
    run_dir: Path


def _compose(line: CommandLine, array: Array | None) -> _Composed:
    """The config of the run, and its folder, whose name no other start has."""
    from ebm_exp.config.compose import compose_run

    goes_on = line.value("resume") not in (None, "auto")
    if array is not None and not goes_on:
        chosen = () if line.has("dataset") else (f"dataset={array.dataset}",)
        line = CommandLine.read("train", (*chosen, f"dataset.path={array.file}", *array.words, *line.words))
    with _COMPOSING:
        line = mend(line)
        if line.value("resume") is not None and array is not None:
            line = line.without("dataset.path")  # the run's own
        start, before = find_start(line), os.environ.get("EBM_RUN_STAMP")
        try:
            if not start.line.has("hydra.run.dir"):
                os.environ["EBM_RUN_STAMP"] = claim_stamp()
            words = [str(each) for each in start.line.overrides]
            config, notes = compose_run(start.primary, words, start.line.config_dirs)
            config.hydra.run.dir = str(config.hydra.run.dir)  # while the stamp is known
        finally:
            os.environ.pop("EBM_RUN_STAMP", None)
            if before is not None:
                os.environ["EBM_RUN_STAMP"] = before
    run_dir = Path(os.path.abspath(config.hydra.run.dir))
    config.hydra.runtime.output_dir = str(run_dir)
    return _Composed(start, config, (*start.notes, *notes), run_dir)


def _fit(line: CommandLine, array: Array | None) -> "LoadedRun":
    from ebm_exp.config.compose import without_hydra

    composed = _compose(line, array)
    start, run_dir = composed.start, composed.run_dir
    goes_on, summary = start.line.value("resume") is not None, run_dir / "summary.json"
    with ExitStack() as held:
        held.enter_context(claim(start.line, composed.config.hydra, anew=line.value("resume") == "auto"))
        kept, is_large = None, array is not None and array.n_bytes > LARGEST
        try:
            if array is not None:
                kept = _keep(array, composed)
            remember(line.words if goes_on else _say_where(composed, array))
            if not goes_on:
                write_hydra(without_hydra(composed.config), composed.config.hydra, run_dir)
            with logs_of(run_dir / "train.log"), torch_as_it_was():
                outcome = _train(composed)
        except BaseException:
            begun = not goes_on and summary.is_file()
            if kept is not None and (is_large or not begun):
                kept.unlink(missing_ok=True)
            if not (goes_on or begun):
                discard(run_dir)
            raise
        run = _load(composed, outcome)
        if kept is not None and is_large:
            run.parts["dataset"]  # has it from here on
            kept.unlink()
        return run


def _keep(array: Array, composed: _Composed) -> Path | None:
    """Write the array into the run, before anything reads it; returns the file, None where it is there already.

    Raises:
        UserError: when there is another one, or the run has none.
    """
    path = composed.run_dir / array.file
    read = composed.config.dataset.get("path")
    if Path(str(read)).name != array.file:
        raise UserError(f"x: the run that goes on reads {read}; without x it does")
    if path.is_file():
        if not array.is_in(path):
            raise UserError(f"x: {path} holds another array; without x the run reads that one")
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    array.keep_at(path)
    return path


def _say_where(composed: _Composed, array: Array | None) -> list[str]:
    """Put the place of the array into the config, and into what counts as typed, which is returned."""
    said = composed.config.hydra.overrides
    if array is not None:
        place = str(composed.run_dir / array.file)
        composed.config.dataset.path = place
        said.task[list(said.task).index(f"dataset.path={array.file}")] = f"dataset.path={value_text(place)}"
    return [*said.hydra, *said.task]


def _train(composed: _Composed) -> "Outcome":
    from ebm_exp.cli.training import train
    from ebm_exp.config.compose import resolve

    start = composed.start
    launch = Launch(
        run_dir=composed.run_dir,
        allowed=start.allowed,
        saved=start.saved,
        metric_typed=start.line.says("optimized_metric"),
    )
    return carry_out(train, resolve(composed.config), launch, composed.notes)


def _load(composed: _Composed, outcome: "Outcome") -> "LoadedRun":
    """The run as it was left.

    Raises:
        DivergedError: when a guard ended it.
        KeyboardInterrupt: when there is nothing to load.
    """
    from ebm_exp.config.trust import ANY
    from ebm_exp.guard import DivergedError
    from ebm_exp.run.load import load_run

    if outcome.symptom is not None:
        error = DivergedError(outcome.symptom)
        error.add_note(f"The run: {composed.run_dir}; load_run(…, checkpoint='diverged') looks into that step.")
        raise error
    if outcome.signal is not None and outcome.signal != signal.SIGINT:
        signal.raise_signal(outcome.signal)  # what it would have done to this process
    if outcome.state == "stopped" and not any((composed.run_dir / "checkpoints").glob("step_*.pt")):
        raise KeyboardInterrupt
    trusts = composed.start.allowed == ANY
    return load_run(composed.run_dir, trusts, str(composed.config.device))
