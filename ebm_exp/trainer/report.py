"""What a run shows a person: the outline at its start, images on the way, versions for the record."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebm_exp import __version__
from ebm_exp.energy.base import count_parameters, frozen
from ebm_exp.evaluator import Evaluator
from ebm_exp.logger.plots import density_panels, energy_histogram, sample_panels
from ebm_exp.objective.base import ObjectiveOutput
from ebm_exp.sampler.fresh import Samples
from ebm_exp.trainer.schedule import TO_ZERO
from ebm_exp.types import Minibatch

if TYPE_CHECKING:
    from ebm_exp.trainer.loop import Trainer


def facts(trainer: "Trainer") -> dict[str, Any]:
    """What the summary and W&B record of a run beside its config."""
    sampler = trainer.sampling.sampler
    return {
        "n_parameters": count_parameters(trainer.energy),
        "temperature": sampler.temperature,
        "device": torch.cuda.get_device_name() if trainer.device.type == "cuda" else f"cpu ({platform.machine()})",
        "protocol": {name: protocol(trainer, each) for name, each in trainer.evaluators.items()},
        "versions": {"python": platform.python_version()}
        | {"ebm-exp": __version__}
        | {name: version(name) for name in ("torch", "hydra-core", "omegaconf")},
    }


def protocol(trainer: "Trainer", evaluator: Evaluator) -> str:
    """What the numbers of an evaluator depend on."""
    sampling = trainer.sampling
    return f"{evaluator.protocol}; averaged weights, chains of {sampling.n_steps} steps from {sampling.init}"


def outline(trainer: "Trainer", facts: dict[str, Any]) -> list[str]:
    """The experiment in a few lines, before it starts."""
    data, sampler = trainer.dataset, trainer.sampling.sampler
    shape = "×".join(map(str, data.event_shape))
    kind = "temperature" if sampler.exact else "effective temperature (approximate: clamped)"
    terms = ", ".join(trainer.objective.regularization.terms) or "none"
    lines = [
        f"run       {trainer.run_dir}",
        f"device    {facts['device']}, torch {facts['versions']['torch']}",
        f"data      {data.name}: {data.n_train:,} train, {data.n_test:,} test, "
        f"{shape} in [{data.domain.low:g}, {data.domain.high:g}]",
        f"energy    {type(trainer.energy).__name__}: {facts['n_parameters']:,} parameters; regularization: {terms}",
        f"chain     {type(sampler).__name__}, {sampler.n_steps} steps; {kind} {facts['temperature']:.3g}; "
        f"fresh chains {trainer.sampling.n_steps} steps from {trainer.sampling.init}",
        *(f"judged    {name}: {text}" for name, text in facts["protocol"].items()),
        f"training  {type(trainer.objective).__name__}, batch {trainer.batch_size}, {trainer.max_steps:,} steps",
    ]
    spent = trainer.lr_decay in TO_ZERO and trainer.lr_decay_steps <= trainer.step < trainer.max_steps
    warning = f"warning   the learning rate fell to 0 at step {trainer.lr_decay_steps:,}: nothing will change"
    return [*lines, warning] if spent else lines


def fresh_samples(trainer: "Trainer", n: int) -> Samples:
    """n fresh chains from the averaged energy, the same seed each time: images of one run can be compared.

    Early in training a buffer may hold fewer than n points to start from: they are then taken in turn.
    """
    start, buffer = None, trainer.objective.buffer
    if trainer.sampling.init == "buffer" and buffer is not None:
        held = buffer.recent(n)
        turn = torch.arange(n, device=trainer.device) % len(held.x)
        start = Minibatch(held.x[turn], None if held.y is None else held.y[turn])
    return trainer.sampling.draw(trainer.ema.energy, n, trainer.seed, start)


def evaluate(trainer: "Trainer") -> dict[str, float]:
    """What the evaluators say of fresh chains, by ``eval/<name>``; each sees as many of the same chains as it wants."""
    row: dict[str, float] = {}
    n = max((evaluator.n_samples for evaluator in trainer.evaluators.values()), default=0)
    x, y = fresh_samples(trainer, n) if n else (trainer.dataset.train(0), None)
    for evaluator in trainer.evaluators.values():
        k = evaluator.n_samples
        values = evaluator(trainer.ema.energy, x[:k], None if y is None else y[:k])
        row |= {f"eval/{name}": value for name, value in values.items()}
    return row


def draw_images(trainer: "Trainer", step: int, output: ObjectiveOutput) -> dict[str, Path]:
    """Write the images of this step; returns their files by metric name."""
    folder, data, sampling = trainer.run_dir / "samples", trainer.dataset, trainer.sampling
    samples, histogram = folder / f"step_{step:08d}.png", folder / f"energy_{step:08d}.png"
    if data.event_shape == (2,):
        fresh = fresh_samples(trainer, 1000).x
        with frozen(trainer.ema.energy):
            density_panels(samples, trainer.ema.energy, data, fresh, sampling.sampler.temperature)
    else:
        n, buffer = trainer.image_samples, trainer.objective.buffer
        panels = {"data": data.train(n)}
        if buffer is not None:
            panels["buffer"] = buffer.recent(n).x
        panels[f"fresh chains, {sampling.n_steps} steps from {sampling.init}"] = fresh_samples(trainer, n).x
        sample_panels(samples, panels, data.domain)
    energy_histogram(histogram, output.e_pos, output.e_neg, f"step {step:,}")
    return {"samples/fresh": samples, "samples/energy": histogram}


def say_goodbye(trainer: "Trainer", state: str) -> None:
    """Where to look at what a run left, and how to go on from it."""
    run_dir, best = trainer.run_dir, trainer.best
    here = run_dir.relative_to(Path.cwd()) if run_dir.is_relative_to(Path.cwd()) else run_dir
    print(f"\n{state} at step {trainer.step:,} after {trainer.elapsed:.0f} s")
    images = {"best image": best["step"]} if best else {}
    for label, at in (images | {"last image": trainer.step}).items():
        if (run_dir / "samples" / f"step_{at:08d}.png").is_file():
            print(f"{label}   {here / 'samples' / f'step_{at:08d}.png'}")
    if best:
        print(f"best {best['metric']}  {best['value']:.4g} at step {best['step']:,}")
    print(f"run directory  {here}")
    print(f"draw samples   python sample.py run={here}")
    if state == "stopped":
        print(f"go on          python train.py resume={here}")
    elif trainer.lr_decay not in TO_ZERO:
        print(f"go on          python train.py resume={here} trainer.max_steps={2 * trainer.max_steps}")
    else:  # the learning rate has decayed to 0: going on would change nothing
        print(f"train more     python train.py init_from={here}")
    for line in trainer.logger.hint():
        print(f"dashboard      {line}")
