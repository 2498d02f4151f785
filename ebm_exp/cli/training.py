"""train.py: one training, by one process, or by several that ``torchrun`` started.

Of several the first does all that a single one does. The others hear from it what is to be trained, once it has found
that right, and train with it; they read no command line, write no file but their chains, and say nothing.
"""

import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ebm_exp.cli import process
from ebm_exp.cli.entry import run_entry_point
from ebm_exp.cli.launch import Launch
from ebm_exp.cli.line import CommandLine
from ebm_exp.config.trust import Allowed
from ebm_exp.ranks import ALONE, RankLostError, Ranks, given, joined
from ebm_exp.terminal import complain

if TYPE_CHECKING:
    from ebm_exp.config.build import Parts
    from ebm_exp.run.directory import RunDirectory
    from ebm_exp.trainer.experiment import Experiment
    from ebm_exp.trainer.outcome import Outcome

log = logging.getLogger(__name__)


class Training(NamedTuple):
    """What the first process tells the others to train."""

    config: dict[str, Any]  # as it is in force
    run_dir: Path
    step: int | None  # of the checkpoint to go on from; None: from the start
    allowed: Allowed


def run() -> None:
    """The command, or this process's part in it."""
    looks = CommandLine.read("train", sys.argv[1:]).is_looking
    if given().alone or looks:
        if given().first:
            run_entry_point(train, "train")
        return
    process.begin(looking=False)
    try:
        with joined() as ranks:
            if ranks.first:
                _lead(ranks)
            else:
                _follow(ranks)
    except RankLostError as error:
        _leave(error)


def _leave(error: RankLostError) -> NoReturn:
    """End this process: what is under way on its device waits for a rank that is lost."""
    if not error.told:
        complain(f"rank {given().rank}: {error}")
    sys.stdout.flush()
    os._exit(1)


def _lead(ranks: Ranks) -> None:
    try:
        run_entry_point(partial(_train_or_leave, ranks=ranks), "train")
    finally:
        if not ranks.at_work:
            ranks.share(None)  # it is over, or was refused


def _train_or_leave(config: dict[str, Any], launch: Launch, ranks: Ranks) -> "Outcome":
    """``train``; where a rank is lost, this process ends before Hydra tells of an error."""
    try:
        return train(config, launch, ranks)
    except RankLostError as error:
        _leave(error)


def _follow(ranks: Ranks) -> None:
    from ebm_exp.config.device import set_deterministic
    from ebm_exp.config.errors import UserError
    from ebm_exp.logger import Several
    from ebm_exp.run.checkpoint import read_state
    from ebm_exp.run.directory import RunDirectory
    from ebm_exp.trainer.session import Session

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    logging.getLogger("ebm_exp").setLevel(logging.ERROR)
    while (told := ranks.share(_NOTHING)) is not None:
        set_deterministic(told.config.get("deterministic", False))
        directory = RunDirectory(told.run_dir)
        try:
            state = None if told.step is None else read_state(directory, told.step, "resume", ranks)
            parts, experiment = _build(told.config, state, Launch(told.run_dir, allowed=told.allowed), ranks)
            session = Session(parts["trainer"], experiment, directory, Several(), state)
        except UserError as error:  # what the first did not meet
            complain(f"rank {ranks.rank}: {error}")
            os._exit(2)
        session.run()


_NOTHING: Training | None = None  # what a process says that listens


def train(config: dict[str, Any], launch: Launch, ranks: Ranks = ALONE) -> "Outcome":
    """One training run, by the first of ranks."""
    from ebm_exp.config.errors import UserError
    from ebm_exp.report import tell_report
    from ebm_exp.run.directory import RunDirectory

    directory, refused = RunDirectory(launch.run_dir), False
    with directory.claim("resume" if config["resume"] else "hydra.run.dir"):
        try:
            return _attempts(config, launch, directory, ranks)
        except UserError:
            refused = True
            raise
        finally:
            if not (refused or launch.in_sweep) and directory.summary():  # a sweep has a report of all its jobs
                tell_report(directory.path, "report         ")


def _attempts(config: dict[str, Any], launch: Launch, directory: "RunDirectory", ranks: Ranks) -> "Outcome":
    """Train; where a guard rolls back, again."""
    from ebm_exp.config.device import keep_precision
    from ebm_exp.run import attempt
    from ebm_exp.run.checkpoint import count_ranks, read_state
    from ebm_exp.trainer.build import check_data
    from ebm_exp.trainer.rollback import rollback
    from ebm_exp.trainer.session import Session

    state = read_state(directory, key="resume", ranks=ranks) if config["resume"] else None
    if state is not None:
        if (n := count_ranks(state)) != ranks.n:
            dealt = "its chains are dealt anew and " if "buffer" in state["parts"] else ""
            log.warning(
                "resume: trained on %d ranks so far, on %d now; %sits numbers differ from here", n, ranks.n, dealt
            )
        config = keep_precision(attempt.in_force(directory, config), directory.summary())
    parts, experiment = _build(config, state, launch, ranks)
    if state is not None and "data" in (began := directory.summary()):
        check_data(experiment.dataset, began["data"])

    def open_session() -> Session:
        return Session(parts["trainer"], experiment, directory, parts["logger"], state, launch.prune, launch.group)

    session = open_session()  # refuses a checkpoint that does not fit, before anything of the run is changed
    if state is None:
        directory.create()
        attempt.write_cast(directory, config)
    else:
        attempt.take_in(directory, config, launch.saved, state["step"])
    while True:
        ranks.share(Training(config, launch.run_dir, None if state is None else state["step"], launch.allowed))
        ranks.at_work = True
        outcome = session.run()
        ranks.at_work = False
        following = rollback(directory, config, experiment.guard, outcome, ranks)
        if following is None:
            return outcome
        config, state = following
        parts, experiment = _build(config, state, launch, ranks)
        session = open_session()


def _build(
    config: dict[str, Any], state: dict[str, Any] | None, launch: Launch, ranks: Ranks
) -> "tuple[Parts, Experiment]":
    """The parts of a training and the experiment they make; one from the start begins at the weights it is given."""
    from ebm_exp.config.run_config import refuse_links
    from ebm_exp.run.checkpoint import load_initial_weights
    from ebm_exp.trainer.build import build

    parts, experiment = build(config, state, launch.allowed, launch.metric_typed, ranks)
    if config["init_from"] and state is None:
        if not config["trust"]:
            refuse_links(config["init_from"], "init_from")
        load_initial_weights(experiment.energy, config["init_from"])
    return parts, experiment
