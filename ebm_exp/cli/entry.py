"""The command line: run an entry point under Hydra, with errors a user can read."""

import contextlib
import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ebm_exp.cli import help, process
from ebm_exp.cli.checks import CHECKS
from ebm_exp.cli.claim import claim, claim_stamp, discard
from ebm_exp.cli.launch import Launch, Main, carry_out, tell, write_hydra
from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.mends import MENDS
from ebm_exp.cli.saved import Start, find_start
from ebm_exp.cli.several import evaluate_each, find_runs, line_of
from ebm_exp.config.errors import UserError
from ebm_exp.config.no_run import is_sweep
from ebm_exp.config.trust import CONF
from ebm_exp.shell import remember
from ebm_exp.terminal import complain, guard_logs


def run_entry_point(main: Main, program: str, each: Main | None = None) -> None:
    """Compose the config, check it, call ``main(config, launch)``; the exit code is 2 for a user's error, 1 for a bug.

    Args:
        main: gets the resolved, validated config as a plain dict.
        program: ``train``, ``sample`` or ``evaluate``.
        each: what is done with each of several runs; None: the command takes one.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions reach us: Hydra's own report is a page long
    remember(sys.argv[1:])
    line = typed = CommandLine.read(program, sys.argv[1:])
    process.begin(line.is_looking)
    claims = ExitStack()
    try:
        if (helped := help.answer(line)) is not None:
            print(helped)
            return process.end(line.is_looking)
        process.hasten_hydra()
        if {"-sc", "--shell-completion"} & set(line.options):
            from ebm_exp.cli.completion import answer

            if answer(line):
                return process.end(line.is_looking)
        line = mend(line)
        named = None if each is None else find_runs(line)
        start = find_start(line if named is None else line_of(line, named.runs[0]))
        if not line.is_looking and not {"hydra.run.dir", "output_dir", "hydra.sweep.dir"} & start.line.keys:
            os.environ["EBM_RUN_STAMP"] = claim_stamp()
        import hydra

        from ebm_exp.config.compose import install

        anew = typed.value("resume") == "auto"

        def call(main: Main, start: Start) -> None:
            install(lambda composed: claims.enter_context(claim(start.line, composed, anew)))
            sys.argv[1:] = start.line.words
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=start.primary)(Task(main, start))()

        if each is None or named is None or line.is_looking:
            call(main, start)
        elif (code := evaluate_each(each, line, named, call)) != 0:
            sys.exit(code)
    except Exception as error:
        end_if_told(error, line)
        raise
    claims.close()
    process.end(line.is_looking)


def mend(line: CommandLine) -> CommandLine:
    """A command line as Hydra is to have it.

    Raises:
        UserError: for what it may not say.
    """
    for check in CHECKS:
        check(line)
    for each in MENDS:
        line = each(line)
    return line


def end_if_told(error: Exception, line: CommandLine) -> None:
    """End the process with what a user's error says; any other is left to who raised it."""
    if (told := tell(error, line)) is not None:
        complain(told)
        sys.exit(2)


@dataclass(frozen=True)
class Task:
    """What Hydra calls with each config that it has composed.

    Attributes:
        main: the command.
        start: what it was started with.
    """

    main: Main
    start: Start

    def __call__(self, composed: Any) -> Any:
        """Run the command; the best value of the optimized metric, for a sweeper."""
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.hydra_config import HydraConfig

        from ebm_exp.config.compose import resolve

        hydra = HydraConfig.get()
        logging.captureWarnings(True)  # into train.log
        guard_logs()
        logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its font cache
        is_multirun = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
        launch = Launch(
            run_dir=Path(hydra.runtime.output_dir),
            group=str(hydra.sweep.dir) if is_multirun else None,
            allowed=self.start.allowed,
            saved=self.start.saved,
            metric_typed=self.start.line.says("optimized_metric"),
        )
        if is_multirun and is_sweep(hydra.sweep.dir):
            return self._run_job(composed, hydra, launch)
        notes = () if is_multirun else GlobalHydra.instance().config_loader().notes  # type: ignore[attr-defined]
        try:
            outcome = carry_out(self.main, resolve(composed), launch, (*self.start.notes, *notes))
        except Exception as error:
            if is_multirun:  # Hydra shows one error of a sweep, at its very end: say each when it happens
                where = f"job {hydra.job.num} ({' '.join(hydra.overrides.task)})"
                logging.getLogger("ebm_exp").error("%s failed: %s", where, error)
            if isinstance(error, UserError) or type(error).__module__.startswith("omegaconf"):
                discard(launch.run_dir)
            if not is_multirun:
                end_if_told(error, self.start.line)  # here, before Hydra writes a line of its own above it
            raise
        if not is_multirun and outcome is not None and outcome.exit_code:
            sys.exit(outcome.exit_code)
        return outcome.best["value"] if outcome is not None and outcome.best else None

    def _run_job(self, composed: Any, hydra: Any, launch: Launch) -> Any:
        """One job of our own sweepers, which knows its folder and whether it goes on."""
        from ebm_exp.config.compose import resolve
        from ebm_exp.config.validate import validate
        from ebm_exp.sweep.directory import SweepDirectory
        from ebm_exp.sweeper import job

        sweep, number = SweepDirectory(str(hydra.sweep.dir)), int(launch.run_dir.name)
        launch = replace(launch, in_sweep=True)
        if sweep.record()["kind"] == "search":
            from ebm_exp.sweeper.study import Pruner

            launch = replace(launch, prune=Pruner(sweep, number))
        config = resolve(composed)
        with contextlib.suppress(UserError):  # what is refused is refused in the job, which then says so
            config = validate(config, launch.allowed)
        return job.run(
            sweep,
            number,
            config,
            list(hydra.overrides.task),
            write_hydra=partial(write_hydra, composed, hydra),
            train=partial(carry_out, self.main, launch=launch),
        )
