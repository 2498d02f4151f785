"""How long a training will take on this device, known before it begins: two steps of its chains are timed, or one loss.

Nothing of its state changes by it, and no number is drawn that the training draws.
"""

import time
from collections.abc import Callable
from functools import partial

import torch

from ebm_exp.engine import probe
from ebm_exp.engine.base import Run
from ebm_exp.objective.contrastive_divergence import ContrastiveDivergence
from ebm_exp.random import generator, seed_global
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.settings import Trainer
from ebm_exp.trainer.update import Update
from ebm_exp.types import Points

LONG = 3600.0  # seconds from which on it is told
_FEW = 10  # steps that are over before it would be of use
_CHEAP = 0.5  # seconds for which the whole batch is timed
_SHARE = 8  # else one part of it in so many
_LOSS = 3  # a loss and its gradient take about so many steps of a chain


def tell_pace(experiment: Experiment, trainer: Trainer, update: Update, step: int) -> list[str]:
    """A line on a training that will take more than an hour from a step on, with what helps; else none."""
    left = trainer.max_steps - step
    if left <= _FEW or (trainer.max_minutes is not None and 60 * trainer.max_minutes <= LONG):
        return []
    seconds = time_update(experiment, update)
    if seconds * left <= LONG:
        return []
    device, objective = experiment.engine.device.type, experiment.objective
    helps = ["a GPU"] if device == "cpu" else []
    if device == "cpu" and experiment.engine.precision == "float32" and probe.bf16_ratio() < probe.FASTER:
        helps.append("engine.precision=bf16")
    chains = ["sampler.n_steps"] if isinstance(objective, ContrastiveDivergence) else []
    less = ", ".join(["trainer.max_steps", *chains, "trainer.batch_size", "the energy's widths"])
    limit = "" if trainer.max_minutes else "; trainer.max_minutes=60 ends it after an hour"
    cures = " or ".join([*helps, f"less of {less}"])
    return [
        f"time      about {_days(seconds * left)} on this device, {_days(seconds)} a step; what helps: {cures}{limit}"
    ]


def time_update(experiment: Experiment, update: Update) -> float:
    """About the seconds of one update, evaluations and images apart."""
    ex = experiment
    batch, n_parts = ex.batch(0, update.accumulate_steps), update.accumulate_steps
    ex.energy.train()
    ex.objective.train()
    size = len(batch.x) // n_parts
    if isinstance(ex.objective, ContrastiveDivergence):
        work = partial(_step_chains, ex, ex.objective)
        times = ex.objective.sampler.n_steps + _LOSS
    else:
        work, times = partial(_compute_loss, ex, update), 1
    share = 1 if ex.engine.device.type == "cuda" else min(_SHARE, size)  # a graph is recorded for one shape
    seconds = share * _time(partial(work, _rows(batch, size // share)))
    if share > 1 and ex.ranks.share(seconds) < _CHEAP:  # all or none: a loss may gather the points of all ranks
        seconds = _time(partial(work, _rows(batch, size)))
    return n_parts * times * seconds


def _time(work: Callable[[], None]) -> float:
    """Seconds that work takes at the second time: the first does what is done once."""
    for _ in range(2):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return time.perf_counter() - began


def _step_chains(ex: Experiment, objective: ContrastiveDivergence, batch: Points) -> None:
    noise = generator(ex.engine.device, "pace")
    with ex.engine.autocast():
        start = objective.start(batch, noise)
        target = ex.engine.target(ex.energy)
        ex.engine.run(objective.sampler, target, start.x, noise, Run(objective.temperature, n_steps=1), y=start.y)


def _compute_loss(ex: Experiment, update: Update, batch: Points) -> None:
    """Compute a loss and its gradient, and put back what that changes."""
    device, work = ex.engine.device, update.work
    noise = generator(device, "pace")
    before = [tensor.clone() for tensor in work.changes]
    with seed_global("pace", device=device):
        with ex.engine.autocast():
            given, _ = ex.objective.gather(ex.energy, batch, 0, noise)
        ex.engine.differentiate(work, given, noise, update.accumulate_steps)
    with torch.no_grad():
        for tensor, value in zip(work.changes, before, strict=True):
            tensor.copy_(value)
    for p in work.params:
        p.grad = None


def _rows(batch: Points, n: int) -> Points:
    return Points(batch.x[:n], None if batch.y is None else batch.y[:n])


def _days(seconds: float) -> str:
    """As a person would say it.

    >>> _days(0.012), _days(7.5), _days(250), _days(9000), _days(9e5)
    ('0.012 s', '7.5 s', '4.2 min', '2.5 h', '10 days')
    """
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.2g} {name}"
    return f"{seconds:.2g} s"
