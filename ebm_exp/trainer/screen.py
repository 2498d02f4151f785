"""What a run says of itself on the screen: at its start, and at its end."""

from collections.abc import Mapping
from typing import Any

from ebm_exp.config.device import describe_machine
from ebm_exp.energy.base import count_parameters
from ebm_exp.files import show_path
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import to_draw, to_train
from ebm_exp.text import listed
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.outcome import Outcome
from ebm_exp.trainer.settings import Trainer


def collect_facts(experiment: Experiment) -> dict[str, Any]:
    """What the summary and W&B record of a run beside its config."""
    ex = experiment
    drawn = f"averaged weights, {ex.sampling.describe()}"
    return {
        "n_parameters": count_parameters(ex.energy),
        "temperature": ex.objective.temperature,
        "data": ex.dataset.facts(),
        "precision": ex.engine.precision,
        **({} if ex.ranks.alone else {"ranks": ex.ranks.n}),
        "protocol": {name: f"{each.protocol}; {drawn}" for name, each in ex.evaluators.items()},
        **describe_machine(ex.engine.device, ("torch", "hydra-core", "omegaconf")),
    }


def outline(
    experiment: Experiment, directory: RunDirectory, facts: Mapping[str, Any], step: int, max_steps: int
) -> list[str]:
    """The experiment in a few lines, before it goes on from a step."""
    ex, data = experiment, experiment.dataset
    shape = "×".join(map(str, data.event_shape))
    n, each = ex.ranks.n, ex.batch_size // ex.ranks.n
    lines = [
        f"run       {directory.path}",
        f"device    {facts['device']}, torch {facts['versions']['torch']}, {ex.engine.precision}",
        *([] if ex.ranks.alone else [f"ranks     {n}, of {each} points each; chains and dropout are each rank's own"]),
        f"data      {data.name}: {data.n_train:,} train, {data.n_test:,} test, "
        f"{shape} in [{data.domain.low:g}, {data.domain.high:g}]",
        *([f"columns   {said}"] if (said := data.units.describe()) else []),
        *([f"classes   {listed(data.class_names)}"] if any(not name.isdecimal() for name in data.class_names) else []),
        f"energy    {type(ex.energy).__name__}: {facts['n_parameters']:,} parameters",
        *(f"{title:<10}{text}" for title, text in ex.objective.describe().items()),
    ]
    lines += [
        f"samples   {ex.sampling.describe()}",
        *(f"evaluate  {name}: {text}" for name, text in facts["protocol"].items()),
        f"training  {type(ex.objective).__name__}, batch {ex.batch_size}, {max_steps:,} steps",
    ]
    lines += [f"warning   {text}" for text in ex.objective.warnings(ex.energy)]
    ends_at = ex.schedule.ends_at
    if ends_at is not None and ends_at <= step < max_steps:
        lines.append(f"warning   the learning rate fell to 0 at step {ends_at:,}: nothing will change")
    return lines


def tell_where(
    directory: RunDirectory,
    *,
    outcome: Outcome,
    step: int,
    seconds: float,
    trainer: Trainer,
    ends_at: int | None,
    hints: list[str],
) -> None:
    """Print where to look at what a run left, and how to go on from it.

    Args:
        directory: of the run.
        outcome: how it ended.
        step: so many are done.
        seconds: so long it took.
        trainer: how long it was to be.
        ends_at: the step at which the learning rate is 0, if there is one.
        hints: how to see what a logger has.
    """
    state, best, run_dir = outcome.state, outcome.best, directory.path
    here = show_path(run_dir)
    why = f"; {outcome.reason}" if state == "stopped" and outcome.reason else ""
    print(f"\n{state} at step {step:,} after {seconds:.0f} s{why}")
    for label, at in (({"best image": best["step"]} if best else {}) | {"last image": step}).items():
        if directory.image("step", at).is_file():
            print(f"{label}     {here / 'samples' / directory.image('step', at).name}")
    if best:
        print(f"best {best['metric']}  {best['value']:.4g} at step {best['step']:,}")
    print(f"run directory  {here}")
    print(f"draw samples   {to_draw(here)}")
    if not step:
        print("go on          from the start: no step is saved")
    elif state in ("stopped", "pruned"):
        print(f"go on          {to_train('resume', here)}")
    elif step < trainer.max_steps:  # the clock ended it
        print(f"go on          {to_train('resume', here, f'trainer.max_minutes={2 * seconds / 60:.3g}')}")
    elif ends_at is None or step < ends_at:
        print(f"go on          {to_train('resume', here, trainer.longer(step))}")
    else:  # the learning rate has decayed to 0: going on would change nothing
        print(f"train more     {to_train('init_from', here)}")
    for line in hints:
        print(f"dashboard      {line}")
