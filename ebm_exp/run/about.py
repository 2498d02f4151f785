"""What a run says of itself to a logger: a name that tells it from others, its group, tags, and what it was made of.

All of it is read from the run directory, so that a run that goes on says the same again.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ebm_exp.config import plain
from ebm_exp.config.keys import names_run
from ebm_exp.config.override import Override, key_of
from ebm_exp.files import read_mapping
from ebm_exp.logger.base import About
from ebm_exp.run import attempt
from ebm_exp.run.directory import RunDirectory
from ebm_exp.text import short_keys

_LOG = logging.getLogger(__name__)
_LONGEST = 128  # characters of a name, or a group, that W&B takes
_SHOWN = ("dataset", "energy", "experiment")  # groups whose choices are tags
_TWINS = ("suggest", "stand_in")  # of a data set: what other parts have taken from it, or what did not take part


def about(
    directory: RunDirectory, config: Mapping[str, Any], group: str | None = None, facts: Mapping[str, Any] | None = None
) -> About:
    """What a training says of itself.

    Args:
        directory: the run's.
        config: resolved.
        group: of the sweep it belongs to, as a rule a path, of which the last two parts count; None: the run alone.
        facts: what its record holds beside the config.
    """
    path, went_on = directory.path, attempt.changes(read_mapping(directory.summary_file))
    choices, typed, multirun = read_composed(path)
    overrides = attempt.typed_in_force(typed, went_on)
    job, sweep = read_mapping(path / "job.json"), read_mapping(path.parent / "sweep.json")
    if job:
        swept = [each for each in job.get("overrides", []) if key_of(each) in sweep.get("keys", [key_of(each)])]
        name = " ".join([str(job.get("number", path.name)), *short(swept)])
    elif multirun:
        name = " ".join([path.name, *short(overrides)])
    else:
        name = " ".join(["/".join(path.resolve().parts[-2:]), *short(overrides)])
    dataset = config.get("dataset", {})
    shown = {"dataset": dataset.get("name"), "energy": _class(config.get("energy"))} | choices
    kept = dict(config)
    if dataset:
        kept["dataset"] = {key: value for key, value in dataset.items() if key not in _TWINS}
    kept |= {"choices": choices, "overrides": overrides, "run_dir": str(path)} | dict(facts or {})
    if "data" in kept:  # units are for the run's files: of a wide table they are thousands of numbers
        kept["data"] = {key: value for key, value in kept["data"].items() if key != "units"}
    if went_on:
        kept["went_on"] = [str(each) for each in went_on]
    if config.get("init_from"):
        kept["parent"] = origin(RunDirectory(config["init_from"]))
    return About(
        name=_cut(name),
        run_dir=path,
        group=_cut("/".join(Path(group).parts[-2:])) if group else None,
        tags=tuple(dict.fromkeys(shown[key][:64] for key in _SHOWN if shown.get(key))),
        notes=config.get("notes"),
        config=kept,
        in_sweep=bool(job) or multirun,
    )


def beside(directory: RunDirectory, config: Mapping[str, Any], step: int, folder: Path, job_type: str) -> About:
    """What is made of a run later says of itself: samples, an evaluation.

    Args:
        directory: the run's.
        config: resolved, of what is made now.
        step: of the checkpoint it is made of.
        folder: where the new files are.
        job_type: ``sample`` or ``evaluate``.
    """
    _, typed, _ = read_composed(folder)
    trained = about(directory, config, directory.summary().get("group"))
    name = " ".join(["/".join(directory.path.resolve().parts[-2:]), folder.name, *short(typed)])
    kept = dict(trained.config) | {"parent": origin(directory, step), "overrides": typed, "run_dir": str(folder)}
    return replace(trained, name=name, run_dir=folder, config=kept, job_type=job_type, in_sweep=False)


def read_composed(run_dir: Path) -> tuple[dict[str, str], list[str], bool]:
    """The choices of groups, the overrides that were typed when it began, and whether one command started several runs.

    All are empty for a run that no command composed.
    """
    folder = run_dir / ".hydra"
    try:
        hydra = plain.read(folder / "hydra.yaml")["hydra"]
        typed = plain.read(folder / "overrides.yaml")
        choices = {k: str(v) for k, v in hydra["runtime"]["choices"].items() if v is not None and "hydra" not in k}
        choices.pop("local", None)
        return choices, [str(each) for each in typed or []], str(hydra.get("mode")).endswith("MULTIRUN")
    except (OSError, plain.PlainError, AttributeError, KeyError, TypeError):
        return {}, [], False


def short(overrides: Iterable[str]) -> list[str]:
    """Overrides that say what an experiment is, each key as short as tells it from the others.

    >>> short(["sampler.step_size=2", "seed=1", "device=cpu"])
    ['step_size=2', 'seed=1']
    """
    last = {each.key: each.text for each in map(Override.read, overrides) if names_run(each.key)}
    names = short_keys(last)
    return [f"~{key}" if text is None else f"{names[key]}={text}" for key, text in last.items()]


def tell_other_data(directory: RunDirectory, data: Mapping[str, Any]) -> None:
    """Warn where a run was trained with other data than ``Dataset.facts`` tells; a table then has other units too."""
    trained = directory.summary().get("data") or {}
    if trained.get("fingerprint") not in (None, data["fingerprint"]):
        _LOG.warning("dataset: other points than those the run was trained with, or another split of them")


def origin(directory: RunDirectory, step: int | None = None) -> dict[str, Any]:
    """Where something comes from: a run, its id to W&B, and a checkpoint with its checksum.

    Args:
        directory: the run's.
        step: of the checkpoint; None: the last.
    """
    steps = directory.checkpoint_steps()
    step = step if step is not None else steps[-1] if steps else None
    file = None if step is None else directory.checkpoint(step)
    if file is not None and not file.is_file() and (diverged := directory.checkpoints / "diverged.pt").is_file():
        file = diverged
    return {
        "run": str(directory.path),
        "wandb_id": directory.summary().get("wandb_id"),
        "step": step,
        "checkpoint": None if file is None else file.name,
        "sha256": checksum(file) if file is not None and file.is_file() else None,
    }


def checksum(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _class(node: Any) -> str | None:
    return str(node["_target_"]).rpartition(".")[2] if isinstance(node, Mapping) and "_target_" in node else None


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
