"""What a command is carried out with once its config is composed, and what is said where that is refused."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_exp.cli.line import CommandLine
from ebm_exp.config.errors import UserError, out_of_memory
from ebm_exp.config.trust import ANY, Allowed
from ebm_exp.files import disk_problem, replace_text

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
        metric_typed: the command line says what is optimized.
    """

    run_dir: Path
    group: str | None = None
    in_sweep: bool = False
    prune: Callable[[int, Any], bool] = field(default=lambda step, scores: False)
    allowed: Allowed = ANY
    saved: dict[str, Any] = field(default_factory=dict)
    metric_typed: bool = False


Main = Callable[[dict[str, Any], Launch], Any]


def carry_out(main: Main, config: dict[str, Any], launch: Launch, notes: Iterable[str] = ()) -> Any:
    """Check and cast a config, say what is to be known of it, and carry out the command.

    Args:
        main: the command.
        config: resolved.
        launch: what it needs beside.
        notes: lines on what is not as was typed.
    """
    from ebm_exp.config.validate import validate

    config = validate(config, launch.allowed, launch.saved)
    from ebm_exp.config.device import one_thread, set_deterministic  # they import torch

    for note in notes:
        logging.getLogger(__name__).warning(note)
    if launch.in_sweep:
        one_thread(config["device"])
    set_deterministic(config.get("deterministic", False))
    return main(config, launch)


def tell(error: Exception, line: CommandLine) -> str | None:
    """What a user's error says, in at most three lines; None for any other, which is left to who raised it."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    lines: list[str] = []
    if isinstance(error, UserError):
        lines = str(error).splitlines()
    elif isinstance(error, HydraException | OmegaConfBaseException):
        from ebm_exp.config.explain import explain

        lines = explain(error, line.words)
    elif (problem := out_of_memory(error)) is not None:
        lines = [problem, _SMALLER[line.program]]
    elif (problem := disk_problem(error)) is not None:
        lines = [f"{problem}; {_ELSEWHERE['resume' if line.value('resume') else line.program]}"]
    return "\n".join(lines[:3]) if lines else None


def write_hydra(composed: Any, hydra: Any, folder: Path) -> None:
    """Write ``.hydra`` into a folder, as Hydra does for a single run that a command composed."""
    from omegaconf import OmegaConf

    written = {"config": composed, "hydra": {"hydra": hydra}, "overrides": hydra.overrides.task}
    (folder / ".hydra").mkdir(exist_ok=True)
    for name, content in written.items():
        replace_text(folder / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(OmegaConf.create(content)))
