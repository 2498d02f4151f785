"""What a run says of itself at its end: to a logger, and to a person."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebm_exp.logger import Files, Logger
from ebm_exp.metrics import BEST
from ebm_exp.run.about import origin
from ebm_exp.run.directory import RunDirectory
from ebm_exp.shell import command, override
from ebm_exp.trainer.outcome import Outcome


def finish_logger(logger: Logger, directory: RunDirectory, summary: Mapping[str, Any]) -> None:
    """Tell the logger how the run ended, and leave its best and last checkpoint with it.

    Args:
        logger: is closed.
        directory: of the run.
        summary: what summary.json says now.
    """
    told = {key: summary[key] for key in ("state", "reason", "failed_step", "failed_metric") if summary.get(key)}
    best, failed = summary["best"] or {}, summary["state"] in ("failed", "diverged")
    logger.summary(told | {BEST(key): value for key, value in best.items()})
    if failed:
        logger.alert(f"{directory.path} {summary['state']}", summary["reason"])
    if logger.keeps and summary["state"] != "stopped":  # that one goes on: its last checkpoint is to come
        steps = directory.checkpoint_steps()
        for step in dict.fromkeys(s for s in (best.get("step"), *steps[-1:]) if s in steps):
            is_best, is_last = step == best.get("step"), step == steps[-1]
            scored = {key: best[key] for key in ("metric", "value") if is_best}
            aliases = ("best",) * is_best + ("last",) * is_last
            file, came = directory.checkpoint(step), origin(directory, step) | scored
            logger.keep(Files("checkpoint", "model", (file,), came, aliases))
    logger.finish(int(failed))


def tell_where(
    directory: RunDirectory,
    *,
    outcome: Outcome,
    step: int,
    seconds: float,
    max_steps: int,
    ends_at: int | None,
    hints: list[str],
) -> None:
    """Print where to look at what a run left, and how to go on from it.

    Args:
        directory: of the run.
        outcome: how it ended.
        step: so many are done.
        seconds: so long it took.
        max_steps: so many were asked for.
        ends_at: the step at which the learning rate is 0, if there is one.
        hints: how to see what a logger has.
    """
    state, best, run_dir = outcome.state, outcome.best, directory.path
    here = run_dir.relative_to(Path.cwd()) if run_dir.is_relative_to(Path.cwd()) else run_dir
    print(f"\n{state} at step {step:,} after {seconds:.0f} s")
    for label, at in (({"best image": best["step"]} if best else {}) | {"last image": step}).items():
        if directory.image("step", at).is_file():
            print(f"{label}     {here / 'samples' / directory.image('step', at).name}")
    if best:
        print(f"best {best['metric']}  {best['value']:.4g} at step {best['step']:,}")
    print(f"run directory  {here}")
    print(f"draw samples   {command('sample')} {override('run', here)}")
    resume = override("resume", here)
    if state in ("stopped", "pruned"):
        print(f"go on          {command('train')} {resume}")
    elif step < max_steps:  # the clock ended it
        print(f"go on          {command('train')} {resume} trainer.max_minutes={2 * seconds / 60:.3g}")
    elif ends_at is None or step < ends_at:
        print(f"go on          {command('train')} {resume} trainer.max_steps={2 * step}")
    else:  # the learning rate has decayed to 0: going on would change nothing
        print(f"train more     {command('train')} {override('init_from', here)}")
    for line in hints:
        print(f"dashboard      {line}")
