"""The commands: train.py, sample.py and evaluate.py, installed as ebm-train, ebm-sample and ebm-evaluate.

What a command needs beside Hydra is imported once the config is found to be right.
"""

import math
import sys
from typing import TYPE_CHECKING, Any

from ebm_exp.cli.entry import run_entry_point
from ebm_exp.cli.launch import Launch
from ebm_exp.cli.several import refuse_no_evaluator

if TYPE_CHECKING:
    from ebm_exp.run.evaluation import Evaluation
    from ebm_exp.run.loaded import LoadedRun

_ASKED = ("mode", "n_samples", "seed", "label", "weights", "checkpoint")  # of sample.py, kept beside what it draws


def train() -> None:
    """Train an energy-based model: ``[group=choice …] [key=value …]``; under ``torchrun``, by all its processes."""
    from ebm_exp.cli import training

    training.run()


def sample() -> None:
    """Draw from a trained run: ``run=<run directory> [mode=…] [n_samples=64] [key=value …]``."""
    run_entry_point(_sample, "sample")


def evaluate() -> None:
    """Evaluate a trained run: ``run=<run directory> [evaluator=[…]] [against=<another run>] [key=value …]``.

    ``run=[A,B]``, a sweep's folder and ``'run=outputs/digits/*'`` are several.
    """
    run_entry_point(_evaluate, "evaluate", _evaluate_run)


def _open_run(config: dict[str, Any], launch: Launch, **more: Any) -> "LoadedRun":
    """The trained run that a command names, with what the command replaces in its config."""
    from ebm_exp.run.loaded import LoadedRun

    more |= {"allowed": launch.allowed, "trained_by": launch.saved}
    run = LoadedRun(config["run"], config | {"seed": config["run_seed"]}, **_choose_weights(config), **more)
    run.parts["logger"]  # refuses its settings before anything is drawn
    return run


def _choose_weights(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("weights", "checkpoint")}


def _sample(config: dict[str, Any], launch: Launch) -> None:
    """Load what was trained, let the mode draw, and say and log what it left."""
    from ebm_exp import memory
    from ebm_exp.config.errors import UserError
    from ebm_exp.files import show_path
    from ebm_exp.logger.console import count_steps
    from ebm_exp.mode import Request, log_drawn
    from ebm_exp.mode.draw import draw
    from ebm_exp.run.load import load_run

    if config["n_steps"] is not None:
        if "n_steps" not in config["sampling"]:
            raise UserError(f"n_steps: {config['sampling']['_target_']} takes none")
        config["sampling"]["n_steps"] = config["n_steps"]
    run, chosen = _open_run(config, launch), _choose_weights(config)
    others = tuple(load_run(path, config["trust"], config["device"], **chosen) for path in config["others"])
    mode = run.parts.construct("mode", config["mode"])
    dataset, device = run.parts["dataset"], run.parts["device"]
    needed = 2 * config["n_samples"] * math.prod(dataset.event_shape) * 4  # where they begin, where they end
    try:
        memory.refuse("n_samples", needed, device)
    except ValueError as error:
        raise UserError(str(error)) from None
    with count_steps() as tell_step:
        request = Request(config["n_samples"], config["seed"], launch.run_dir, config["label"], others, tell_step)
        drawn = draw(mode, run, request, {key: config[key] for key in _ASKED})
    sampling = run.parts["sampling"]
    how = ": ".join(filter(None, (sampling.kernel(), sampling.describe())))
    print(f"{how}, " * mode.draws + f"{config['weights']} weights of step {run.step:,}")
    print("  ".join(f"{name} {value:.4g}" for name, value in drawn.metrics.items()))
    for name, path in drawn.files.items():
        print(f"{name:<12}{show_path(path)}")
    for line in log_drawn(run, launch.run_dir, drawn):
        print(f"dashboard   {line}")


def _evaluate(config: dict[str, Any], launch: Launch) -> None:
    """Evaluate one run, and say what was found."""
    from ebm_exp.run.tables import tell_evaluation

    evaluation = _evaluate_run(config, launch)
    tell_evaluation(evaluation)
    if evaluation.failed:  # what was found is kept
        sys.exit(1)


def _evaluate_run(config: dict[str, Any], launch: Launch) -> "Evaluation":
    """Load what was trained, let every evaluator see it, and keep and log what they found."""
    from ebm_exp.run.evaluation import against, evaluate, log_evaluation

    refuse_no_evaluator(config)
    chosen = _choose_weights(config)
    second = against(config["against"], config["trust"], config["device"], **chosen)
    seed = config["run_seed"] if config["seed"] is None else config["seed"]
    run = _open_run(config, launch, needs_data=True, **second)
    evaluation = evaluate(run, run.parts["evaluator"], seed, launch.run_dir, {**chosen, "against": config["against"]})
    log_evaluation(run, evaluation)
    return evaluation
