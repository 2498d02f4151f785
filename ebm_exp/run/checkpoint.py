"""Checkpoints of a run: found and pruned by the step in their name, of one process or of several."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ebm_exp.buffer.deal import deal
from ebm_exp.config.errors import UNFIT, UserError, unfit
from ebm_exp.config.no_run import refuse_no_run
from ebm_exp.config.run_config import FORMAT, check_format
from ebm_exp.config.shapes import Reached, wrong_in
from ebm_exp.files import TEMPORARY
from ebm_exp.random import generator
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.run.archive import read, save
from ebm_exp.run.directory import RunDirectory

_KINDS: dict[str, type | tuple[type, ...]] = {  # what a resumed run needs, and what each of it is
    "step": int, "elapsed": (int, float), "best": (dict, type(None)), "wandb_id": (str, type(None)),
    "parts": dict, "ema": dict,
}  # fmt: skip
KEYS = tuple(_KINDS)
OWN = ("buffer", "sampler")  # parts whose states are a rank's own, where several train
_MOST_RANKS = 2**16


def save_together(path: Path, state: Mapping[str, Any], ranks: Ranks) -> None:
    """Write a checkpoint of several ranks: first what each has of its own, then what they have in common.

    So where the common file is, all others are whole. Of one that is alone, one file.

    Args:
        path: of the common file, which holds the first rank's own states too.
        state: this rank's.
        ranks: all of them call this.
    """
    if not ranks.first:
        save(rank_file(path, ranks.rank), {"parts": _own(state)})
    ranks.collect(None)
    if ranks.first:
        save(path, state)


def rank_file(path: Path, rank: int) -> Path:
    """What another rank than the first has of its own, beside the checkpoint ``path``."""
    return path.with_name(f"{path.stem}.rank_{rank}{path.suffix}")


def count_ranks(state: Mapping[str, Any]) -> int:
    """How many processes trained together when a checkpoint was written.

    Raises:
        ValueError: when it says so of no number of them.
    """
    n = state.get("ranks", 1)
    if not (isinstance(n, int) and 1 <= n <= _MOST_RANKS):
        raise ValueError(f"ranks of the checkpoint: must be 1 to {_MOST_RANKS}, got {n!r:.20}")
    return n


def _own(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: state["parts"][name] for name in OWN if name in state["parts"]}


def load(path: Path, keys: Collection[str] = KEYS, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint with ``weights_only=True``: the file is data, no code of it runs.

    Args:
        path: the file.
        keys: what it must hold.
        device: where its tensors go.

    Raises:
        ValueError: naming the file, when it cannot be read or lacks a key.
    """
    state = read(path, device)
    version = state.get("format", 1)
    if keys is KEYS and not (isinstance(version, int) and version == FORMAT):
        raise ValueError(f"{path}: has format {version!r:.20}, this version reads {FORMAT}")
    missing = [key for key in keys if key not in state]
    if missing:
        raise ValueError(f"{path}: the checkpoint lacks {', '.join(missing)}; it holds {', '.join(map(str, state))}")
    return state


def read_state(
    directory: RunDirectory,
    which: Literal["latest", "best", "diverged"] | int = "latest",
    key: str = "run",
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """A checkpoint's content, on the CPU; a number is its step.

    A damaged file is skipped for the one before it, with a warning that names it, when the latest is asked for.

    Args:
        directory: the run.
        which: see ``RunDirectory.find_checkpoint``.
        key: the command-line key that gave the directory, for the message.
        ranks: who goes on. Where others wrote it, the chains of all are dealt anew.

    Raises:
        UserError: when there is none, it cannot be read, or it is of another format.
    """
    check_format(directory.path, key)
    path = latest(directory) if which == "latest" else None
    if path is None:
        if which == "latest" and (there := directory.checkpoint_steps()):
            raise UserError(f"{key}: {directory.path} has {len(there)} checkpoints, and none of them can be read")
        path = directory.find_checkpoint(which, key)
    try:
        state = load(path, ("state",))["state"] if which == "diverged" else load(path)
        if not isinstance(state, dict):
            raise ValueError(f"{path}: its state is {type(state).__name__}")
        state = _for_ranks(path, state, ranks)
    except ValueError as error:
        raise UserError(f"{key}: {error}") from None
    except UNFIT as error:
        raise UserError(f"{key}: {path}: what its ranks hold does not fit ({unfit(error)})") from None
    if wrong := [name for name, kind in _KINDS.items() if not isinstance(state.get(name), kind)]:
        raise UserError(f"{key}: {path}: {wrong[0]} of the checkpoint is {type(state.get(wrong[0])).__name__}")
    if (said := wrong_in(Reached, {name: state.get(name) for name in Reached.model_fields})) is not None:
        raise UserError(f"{key}: {path}: {said}")
    return state


def choose_weights(state: Mapping[str, Any], weights: Literal["ema", "online"]) -> dict[str, Any]:
    """The states of parts that a trained run is built of; what an export has left out is None.

    Args:
        state: of a checkpoint.
        weights: ``ema`` (averaged) or ``online``.

    Raises:
        UserError: when they are left out.
    """
    kept: dict[str, Any] = dict(state["parts"])
    if weights == "ema":
        return kept | {name: state["ema"][name] for name in ("energy", "objective")}
    if kept.get("energy", kept) is None:
        raise UserError("weights: must be ema, the run is an export, of averaged weights and config; got online")
    return kept


def without_replaced(kept: dict[str, Any], trained: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The states of parts but for a sampler that is chosen now, which has learned nothing.

    Raises:
        UserError: when a noise process is, to which the energy is not fitted.
    """
    own, now = ((each.get("noise") or {}).get("_target_") for each in (trained, config))
    if own is not None and own != now:
        raise UserError(f"noise: must be the run's own, {own}, to which its energy is fitted, got {now}")
    same = trained.get("sampler") == config["sampler"]
    return {name: state for name, state in kept.items() if same or name != "sampler"}


def _for_ranks(path: Path, state: dict[str, Any], ranks: Ranks) -> dict[str, Any]:
    """What one of the ranks goes on with."""
    n = count_ranks(state)
    if n == ranks.n and ranks.first:
        return state

    def own_of(rank: int) -> dict[str, Any]:
        if rank == 0 or path.stem == "diverged":  # of that step the first rank's chains stand for all
            return _own(state)
        return _own(load(rank_file(path, rank), ("parts",)))

    if n == ranks.n:
        own = own_of(ranks.rank)
    else:
        held = [own_of(rank) for rank in range(n)]
        own = held[ranks.rank % n]
        if "buffer" in own:
            g = generator("cpu", "deal", state["step"], n, ranks.n)
            own = own | {"buffer": deal([each["buffer"] for each in held], ranks, g)}
    return {**state, "parts": {**state["parts"], **own}}


def latest(directory: RunDirectory) -> Path | None:
    """The newest checkpoint that can be read; None when there is none."""
    damaged: list[ValueError] = []
    step: int | None
    for step in reversed(directory.checkpoint_steps()):
        path = directory.checkpoint(step)
        try:
            for rank in range(1, count_ranks(read(path, "cpu"))):
                read(rank_file(path, rank), "cpu")
        except ValueError as error:
            damaged.append(error)
        else:
            break
    else:
        step = None
    for each in damaged:
        warnings.warn(f"{each}; {'none' if step is None else f'step {step:,}'} is used", stacklevel=2)
    return None if step is None else directory.checkpoint(step)


def prune(directory: RunDirectory, keep: int, protect: Collection[int] = ()) -> None:
    """Delete checkpoints, except the ``keep`` highest steps, the steps in ``protect`` and the file written last.

    The last written is not always the highest step: a run that found its newest checkpoint damaged goes on from an
    older one. Temporary files that a killed run left are deleted too.

    Raises:
        ValueError: when ``keep`` is below 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    steps = directory.checkpoint_steps()
    if not steps:
        return
    newest = max(steps, key=lambda step: (directory.checkpoint(step).stat().st_mtime_ns, step))
    kept = {*steps[-keep:], newest, *protect}
    for step in steps:
        if step not in kept:
            directory.checkpoint(step).unlink()
    stems = {directory.checkpoint(step).stem for step in kept}
    for own in directory.checkpoints.glob("step_*.rank_*.pt"):
        if own.name.partition(".")[0] not in stems:
            own.unlink()
    for leftover in directory.checkpoints.glob(".step_*.tmp"):
        if TEMPORARY.fullmatch(leftover.name):
            leftover.unlink()


def load_initial_weights(energy: nn.Module, run: str) -> None:
    """Start a new run from the averaged weights of another (``init_from=``).

    Raises:
        UserError: when there is no checkpoint or it does not fit.
    """
    directory = RunDirectory(run)
    if not directory.checkpoint_steps():
        refuse_no_run(run, "init_from")
    averaged: Mapping[str, Any] = read_state(directory, key="init_from")["ema"]["energy"]
    try:
        energy.load_state_dict(averaged)
    except UNFIT as error:
        raise UserError(
            f"init_from: the weights of {run} do not fit this energy; give the energy and data set of that run "
            f"({unfit(error)})"
        ) from None
