"""``evaluate.py`` of several runs: ``run=[A,B]``, a sweep's folder, ``'run=outputs/digits/*'``.

Each is evaluated as it would be alone, one after the other, by the code and under the trust of a single one. All of
them are read, composed and checked before the first begins.
"""

import glob
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebm_exp.cli.claim import discard
from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.mends import runs_in
from ebm_exp.cli.saved import Start, find_start, open_run
from ebm_exp.config.errors import UserError, out_of_memory
from ebm_exp.config.no_run import is_run, is_sweep, refuse_no_run
from ebm_exp.config.run_config import refuse_links
from ebm_exp.files import disk_problem
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import override, quoted

if TYPE_CHECKING:
    from ebm_exp.run.comparison import Comparison
    from ebm_exp.run.evaluation import Evaluation

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Named:
    """The runs that a command names.

    Attributes:
        runs: in the order they are evaluated, of a sweep the best settings first.
        sweep: the folder they are jobs of; None where they are not of one.
        left_out: what is not among them: jobs of sweeps that have not finished, by state, and of what a pattern stands
            for the runs without a checkpoint.
    """

    runs: tuple[Path, ...]
    sweep: Path | None = None
    left_out: dict[str, int] = field(default_factory=dict)


def find_runs(line: CommandLine) -> Named | None:
    """The runs that ``evaluate.py`` is to evaluate one after the other; None: it names one.

    ``top=3`` are the jobs of a sweep's three best settings, with all their seeds.

    Raises:
        UserError: when what is named is none, and for ``top`` without a sweep.
    """
    if line.program != "evaluate" or (given := line.value("run")) is None:
        return None
    listed = runs_in([each for each in line.overrides if each.key == "run"][-1])
    named = [Path(run) for run in listed or [given]]
    left_out = Counter[str]()
    paths = [path for each in named for path in _matching(each, left_out)]
    sweeps = [path for path in paths if is_sweep(path)]
    if line.value("top") is not None and not sweeps:
        raise UserError(f"top: is of a sweep's settings, and {override('run', given)} names no sweep")
    if listed is None and paths == named and not sweeps:
        refuse_no_run(given, several=True)
        return None
    if {"-m", "--multirun"} & set(line.options):
        raise UserError("run: several runs are evaluated one after the other, without -m")
    if line.has("hydra.run.dir"):
        raise UserError("hydra.run.dir: is of one run; of several output_dir=… takes what comes of them")
    top = _read_top(line)
    runs: list[Path] = []
    for path in paths:
        if path in sweeps:
            runs += _jobs(path, top, left_out, line.trusts)
        else:
            refuse_no_run(path, several=True)
            runs.append(path)
    whole = sweeps[0] if len(paths) == len(sweeps) == 1 else None
    if led := next((run for run in runs if "${" in str(run)), None):  # Hydra would follow it
        raise UserError(f"run: a run directory whose name holds ${{ cannot be given; rename {led}")
    return Named(tuple({run.resolve(): run for run in runs}.values()), whole, dict(left_out))


def _matching(path: Path, left_out: Counter[str]) -> list[Path]:
    """A path, or the runs and sweeps that a pattern of a shell stands for."""
    if path.exists() or not any(sign in str(path) for sign in "*?"):
        return [path]
    found = [Path(each) for each in sorted(glob.glob(str(path)))]
    runs = [each for each in found if is_run(each) or is_sweep(each)]
    if not runs:
        raise UserError(f"run: {path} stands for {len(found)} paths, and none of them is a run directory")
    begun = [each for each in runs if is_sweep(each) or RunDirectory(each).checkpoint_steps()]
    left_out.update({"without a checkpoint": len(runs) - len(begun)} if len(runs) > len(begun) else {})
    return begun or runs


def _read_top(line: CommandLine) -> int | None:
    text = line.value("top")
    if text is not None and not (text.isdecimal() and int(text) > 0):
        raise UserError(f"top: must be a whole number > 0, got {text}")
    return None if text is None else int(text)


def _jobs(sweep: Path, top: int | None, left_out: Counter[str], trust: bool) -> list[Path]:
    """The finished jobs of a sweep, those of the best settings first."""
    from ebm_exp.sweep.directory import SweepDirectory
    from ebm_exp.sweep.settings import read

    if not trust:
        refuse_links(sweep, "run", "sweep")
    results = read(SweepDirectory(sweep))
    left_out.update({state: n for state, n in results.counts.items() if state != "finished"})
    if not results.finished:
        states = ", ".join(f"{n} {state}" for state, n in results.counts.items()) or "none has begun"
        raise UserError(f"run: {sweep} is a sweep, and none of its jobs has finished ({states})")
    if top is not None and not results.ranked:
        raise UserError(f"top: no job of {sweep} has a score to be ranked by; without top all are evaluated")
    settings = results.settings if top is None else results.ranked[:top]
    return [job.run.path for each in settings for job in each.jobs if job.state == "finished"]


def evaluate_each(
    each: Callable[[dict[str, Any], Any], "Evaluation"],
    line: CommandLine,
    named: Named,
    call: Callable[[Callable[..., None], Start], None],
) -> int:
    """Evaluate runs one after the other, and tell and keep what came of all. One that fails costs no other.

    Args:
        each: what is done with one.
        line: the command line.
        named: the runs.
        call: has Hydra compose a config, and call a function with it and with what Hydra knows.

    Returns:
        The exit code: 0, or 1 where something failed.

    Raises:
        UserError: before the first begins, when one is no run, or does not take what was typed.
    """
    starts = [find_start(line_of(line, run, i)) for i, run in enumerate(named.runs)]
    for start in starts:
        _check(start)
    comparison = _begin(line, named, starts)
    with comparison.recorded():
        for i, start in enumerate(starts):
            print(f"\n{i + 1}/{len(starts)} {named.runs[i]}", flush=True)
            comparison.begin(i)
            try:
                open_run(start.line, start.saved)
                call(_Attempt(each, comparison, i), start)
            except (Exception, SystemExit) as error:  # before the config got to it: a folder that cannot be written
                comparison.fail(i, _reason(error))
    from ebm_exp.run.tables import tell_comparison

    tell_comparison(comparison)
    return comparison.exit_code


@dataclass(frozen=True)
class _Attempt:
    """What Hydra calls with the config of one of the runs; it does not raise."""

    each: Callable[[dict[str, Any], Any], "Evaluation"]
    comparison: "Comparison"
    number: int

    def __call__(self, config: dict[str, Any], launch: Any) -> None:
        try:
            self.comparison.take(self.number, self.each(config, launch))
        except Exception as error:
            self.comparison.fail(self.number, _reason(error))
            discard(launch.run_dir)


def _reason(error: BaseException) -> str:
    """Why a run could not be evaluated, in a line; what nobody foresaw goes into the log with its traceback."""
    known = out_of_memory(error) or disk_problem(error)
    if known is None and not isinstance(error, UserError | ValueError | OSError | SystemExit):
        _LOG.error("failed: %s", error, exc_info=error)
    reason = known or (str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    return " ".join(reason.splitlines()[:3])


def line_of(line: CommandLine, run: Path, number: int = 0) -> CommandLine:
    """The command line that evaluates one of the runs alone."""
    alone = line.set("run", quoted(str(run))).without("top")
    folder = line.value("output_dir")
    return alone if folder is None else alone.set("output_dir", quoted(str(Path(folder) / f"{number}_{run.name}")))


def refuse_no_evaluator(config: Mapping[str, Any]) -> None:
    """Refuse to evaluate by nothing.

    Raises:
        UserError: with an example.
    """
    if not config["evaluator"]:
        raise UserError("evaluator: none is chosen; for example evaluator=[frechet,mmd]")


def _begin(line: CommandLine, named: Named, starts: list[Start]) -> "Comparison":
    """The record of all, in the folder that is typed, or in the sweep's, or under outputs."""
    from ebm_exp.run.comparison import Comparison

    given = line.value("output_dir")
    beside = (Path("outputs") if named.sweep is None else named.sweep) / "evaluations"
    folder = Path(given) if given is not None else beside / os.environ["EBM_RUN_STAMP"]
    runs = [(run, start.saved) for run, start in zip(named.runs, starts, strict=True)]
    return Comparison(folder, runs, {key: line.value(key) for key in ("run", "top")}, named.left_out)


def _check(start: Start) -> None:
    """Compose and check what one of the runs is to be evaluated with.

    Raises:
        UserError: naming the run.
    """
    from ebm_exp.config.compose import compose, resolve
    from ebm_exp.config.validate import validate

    open_run(start.line, start.saved)
    try:
        config = resolve(compose(start.primary, map(str, start.line.overrides), start.line.config_dirs))
        config = validate(config, start.allowed, start.saved)
        refuse_no_evaluator(config)
    except UserError as error:
        raise UserError(f"{error}\n(with the config of {start.line.value('run')})") from error
