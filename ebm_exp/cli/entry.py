"""The command line: run an entry point under Hydra, with errors a user can read."""

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ebm_exp.cli import process, replaced
from ebm_exp.cli.explain import explain, node_at, refuse_no_choices, with_defaults
from ebm_exp.cli.line import (
    claim_stamp,
    config_dirs,
    hold_back,
    overrides_first,
    quote_home,
    refuse_absent_slurm,
    refuse_empty_paths,
    refuse_names_outside,
    refuse_used_directory,
    value_of,
)
from ebm_exp.cli.saved import LOOKING, notes_on, opened, resumed, trusted
from ebm_exp.config.errors import UserError, out_of_memory
from ebm_exp.config.run_config import RunConfig
from ebm_exp.config.trust import ANY, CONF, Allowed, allowed_by
from ebm_exp.files import disk_problem
from ebm_exp.run.directory import is_sweep
from ebm_exp.shell import remember

_SMALLER = {  # what helps where memory runs out
    "train": "smaller: trainer.batch_size (or accumulate_steps=2, 4, …), buffer.size, sampler.n_steps of terms that go "
    "through chains, the energy's widths; engine.precision=bf16",
    "sample": "smaller: n_samples",
    "evaluate": "smaller: the n_samples or n_chains of the evaluator",
}
_ELSEWHERE = {  # where a disk lets nothing be written
    "train": "another place: hydra.run.dir=…",
    "resume": "a run goes on where it lies; a copy of it can be elsewhere",
    "sample": "another place: output_dir=…",
    "evaluate": "another place: output_dir=…",
}


@dataclass(frozen=True)
class Launch:
    """What Hydra knows and a run needs.

    Attributes:
        run_dir: where to write.
        group: the sweep it belongs to (the W&B group); None: a single run.
        in_sweep: one of its jobs, by our own sweepers; what came of all is told at its end.
        prune: told the step and the scores of each evaluation; True ends the training there.
        allowed: what may be built: anything that its user typed, of a run's config its own kinds alone.
        saved: the config of the run that the command names, as the run has it.
    """

    run_dir: Path
    group: str | None = None
    in_sweep: bool = False
    prune: Callable[[int, Any], bool] = field(default=lambda step, scores: False)
    allowed: Allowed = ANY
    saved: dict[str, Any] = field(default_factory=dict)


def run_entry_point(main: Callable[[dict[str, Any], Launch], Any], config_name: str) -> None:
    """Compose the config, check it, call ``main(config, launch)``; the exit code is 2 for a user's error, 1 for a bug.

    Args:
        main: gets the resolved, validated config as a plain dict.
        config_name: ``train``, ``sample`` or ``evaluate``.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let exceptions reach us: Hydra's own report is a page long
    remember(sys.argv[1:])
    looking = bool(LOOKING & {a.split("=")[0] for a in sys.argv[1:]})
    process.begin(looking)
    from hydra import main as hydra_main
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    arguments = quote_home(sys.argv[1:])

    def tell(error: Exception) -> None:
        """End with what a user's error says; any other is left to who raised it."""
        if isinstance(error, UserError):
            _exit(str(error).splitlines())
        if isinstance(error, HydraException | OmegaConfBaseException):
            _exit(explain(error, arguments, config_name))
        if (problem := out_of_memory(error)) is not None:
            _exit([problem, _SMALLER[config_name]])
        if (problem := disk_problem(error)) is not None:
            _exit([f"{problem}; {_ELSEWHERE['resume' if value_of('resume', arguments) else config_name]}"])

    try:
        if {"-sc", "--shell-completion"} & set(arguments):
            from ebm_exp.cli.completion import answer

            if answer(arguments, config_name, lambda typed: _composed(typed, config_name)):
                return process.end(looking)
        refuse_empty_paths(arguments)
        refuse_names_outside(arguments)
        refuse_no_choices(arguments)
        if not looking:
            refuse_absent_slurm(arguments)
            directory = "hydra.run.dir" if config_name == "train" else "output_dir"
            if config_name == "train" and value_of("resume", arguments) == "auto":
                from ebm_exp.cli.auto import begin_or_go_on

                begin_or_go_on(arguments)
            if value_of("resume", arguments) is None:
                refuse_used_directory(arguments, directory)
            if not {directory, "hydra.sweep.dir", "resume"} & {a.split("=")[0] for a in arguments}:
                os.environ["EBM_RUN_STAMP"] = claim_stamp()
        primary, saved = resumed(arguments) if config_name == "train" else opened(arguments, config_name)
        known, notes = _of_run(arguments, primary, saved)
        arguments += replaced.of_targets(arguments, config_name)
        if not looking or {"--cfg", "-c"} & {a.split("=")[0] for a in arguments}:
            dropped, lines = replaced.of_choices(arguments, config_name)
            arguments, notes = arguments + dropped, notes + lines
        if primary == "train":
            arguments = hold_back(arguments)
        while True:
            sys.argv[1:] = overrides_first(arguments)
            try:
                hydra_main(version_base="1.3", config_path=str(CONF), config_name=primary)(
                    _wrap(main, tell, known, notes)
                )()
                return process.end(looking)
            except HydraException as error:
                added = with_defaults(error, arguments, config_name)
                if added is None:
                    raise
                arguments = added
    except Exception as error:
        tell(error)
        raise


def _exit(lines: list[str]) -> None:
    print("\n".join(lines[:3]), file=sys.stderr)
    sys.exit(2)


def _of_run(arguments: list[str], primary: str, found: RunConfig | None) -> tuple[dict[str, Any], list[str]]:
    """What a launch knows of the run that the command names, and what is said of it: it is not its user's own word."""
    if found is None:
        return {}, []
    if trusted(arguments):
        return {"saved": found.values}, []
    key = "resume" if primary == "resumed_run" else "run"
    allowed = allowed_by(str(value_of(key, arguments)), arguments, config_dirs(arguments), key)
    return {"saved": found.values, "allowed": allowed}, notes_on(found, arguments)


def _wrap(
    main: Callable[[dict[str, Any], Launch], Any],
    tell: Callable[[Exception], None],
    known: dict[str, Any],
    notes: list[str],
) -> Callable[[Any], Any]:
    def job(composed: Any) -> Any:
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import OmegaConf

        hydra = HydraConfig.get()
        logging.captureWarnings(True)  # into train.log
        logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its font cache
        multirun = hydra.mode is not None and hydra.mode.name == "MULTIRUN"
        launch = Launch(Path(hydra.runtime.output_dir), str(hydra.sweep.dir) if multirun else None, **known)
        if multirun and is_sweep(hydra.sweep.dir):
            return _train_in_sweep(main, composed, hydra, launch)
        try:
            config: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
            from ebm_exp.config.validate import validate

            validate(config, launch.allowed)
            for line in notes:
                logging.getLogger(__name__).warning(line)
            outcome = main(config, launch)
        except Exception as error:
            if multirun:  # Hydra shows one error of a sweep, at its very end: say each when it happens
                where = f"job {hydra.job.num} ({' '.join(hydra.overrides.task)})"
                logging.getLogger("ebm_exp").error("%s failed: %s", where, error)
            if isinstance(error, UserError) or type(error).__module__.startswith("omegaconf"):
                _discard(launch.run_dir)
            if not multirun:
                tell(error)  # here, before Hydra writes a line of its own above it
            raise
        if not multirun and outcome is not None and outcome.exit_code:
            sys.exit(outcome.exit_code)
        return outcome.best["value"] if outcome is not None and outcome.best else None

    return job


def _train_in_sweep(main: Callable[[dict[str, Any], Launch], Any], composed: Any, hydra: Any, launch: Launch) -> Any:
    """One job of our own sweepers, which knows its folder and whether it goes on."""
    from omegaconf import OmegaConf

    from ebm_exp.config.build import one_thread
    from ebm_exp.config.validate import validate
    from ebm_exp.sweep.directory import SweepDirectory
    from ebm_exp.sweeper import job

    sweep, number = SweepDirectory(str(hydra.sweep.dir)), int(launch.run_dir.name)
    launch = replace(launch, in_sweep=True)
    if sweep.record()["kind"] == "search":
        from ebm_exp.sweeper.study import Pruner

        launch = replace(launch, prune=Pruner(sweep, number))

    def write_hydra(folder: Path) -> None:
        written = {"config": composed, "hydra": {"hydra": hydra}, "overrides": hydra.overrides.task}
        (folder / ".hydra").mkdir(exist_ok=True)
        for name, content in written.items():
            OmegaConf.save(OmegaConf.create(content), folder / ".hydra" / f"{name}.yaml")

    def train(config: dict[str, Any]) -> Any:
        validate(config, launch.allowed)
        one_thread(config["device"])
        return main(config, launch)

    config: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    return job.run(sweep, number, config, list(hydra.overrides.task), write_hydra, train)


def _discard(run_dir: Path) -> None:
    """Remove a run directory in which nothing was started but what Hydra wrote on the way."""
    if run_dir.is_dir() and {p.name for p in run_dir.iterdir()} <= {".hydra", ".lock", "train.log", "sample.log"}:
        shutil.rmtree(run_dir)


def _composed(typed: list[str], config_name: str) -> dict[str, Any]:
    """The config by a command line that is not finished, for completion."""
    with contextlib.suppress(UserError):
        resumed(typed := [*typed]) if config_name == "train" else opened(typed := [*typed], config_name)
    return node_at("", typed, config_name)
