"""log p of a trained run, and its log Z: where it is known, and how it is found."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ebm_exp.config.errors import UserError
from ebm_exp.energy.analytic import Analytic
from ebm_exp.evaluator.base import Evaluator, Model, Score
from ebm_exp.metrics import SCORE, SCORE_ERROR
from ebm_exp.noise import NoiseProcess
from ebm_exp.random import Stream, generator
from ebm_exp.run.handed import Handed, in_blocks
from ebm_exp.text import finite

if TYPE_CHECKING:
    from ebm_exp.run.loaded import LoadedRun

_NAMES = (("log_z", "log_z_error"), ("ais_log_z", "ais_log_z_se"))  # of scores, and of their errors
_OF_LEVELS = (("log_p_constant", "log_p_constant_se"),)  # of a run with a normaliser
_BOX = {  # as conf/evaluator/ais.yaml has them
    "kernel": {"_target_": "ebm_exp.sampler.HMC", "n_steps": 1, "step_size": None},
    "start": {"_target_": "ebm_exp.start.Independent"},
}
_BITS = {
    "kernel": {"_target_": "ebm_exp.sampler.GibbsWithGradients", "n_steps": 1},
    "start": {"_target_": "ebm_exp.start.Bits"},
}


def levels_of(run: "LoadedRun") -> NoiseProcess | None:
    """The noise process of a run that was trained with a normaliser, and knows log p in one pass; None: of others."""
    if "normaliser" not in run.config or "t" not in run.energy.context or run.temperature != 1:
        return None
    return run.parts["noise"] if run.parts["normaliser"].active else None


@torch.no_grad()
def log_density(run: "LoadedRun", handed: Handed, log_z: float) -> Tensor:
    """log p ``[n]`` in nats, float64: −E/T − log Z on the box, of a run with a normaliser that of the data with the
    least noise, on all of space.

    Raises:
        UserError: when the energy needs labels and there are none.
    """
    noise = levels_of(run)
    if noise is not None:
        return noise.log_density(run.energy, handed.x, noise.t_density, log_z)
    energies = in_blocks(run.energy, handed, lambda energy, block: energy(block)).double()
    return -energies / run.temperature - log_z


def find_log_z(run: "LoadedRun", seed: int, **settings: Any) -> Score:
    """log Z of exp(−E/T) on the domain: by quadrature in the plane, else by annealed importance sampling.

    Of a run with a normaliser it is the constant of all noise levels, on all of space.

    Args:
        run: loaded with its data.
        seed: of the chains.
        settings: of the evaluator, ``n`` of ``Grid``, ``n_chains``, ``n_betas`` and ``n_equilibrate`` of ``AIS``.

    Raises:
        UserError: when the energy has no log Z of its own, since it takes labels, T is 0, or a clamp acts in training;
            when there are settings for a run that needs none.
    """
    noise = levels_of(run)
    if noise is not None:
        if settings:
            raise UserError(f"log_z: takes no {', '.join(settings)} for a run with a normaliser: it needs no chains")
        dataset = run.parts["dataset"]
        value, se = noise.log_constant(run.energy, dataset, generator(dataset.device, "log_z", seed))
        how = "known" if noise.known_constant is not None else "measured where noise is most"
        return Score(value, se, better=None, unit="nats", verdict=how)
    in_plane = run.parts["dataset"].event_shape == (2,)
    of_ais = _BOX if run.parts["dataset"].continuous else _BITS
    node = _node(run, "Grid", {}) if in_plane else _node(run, "AIS", of_ais)
    try:
        on_box = {} if in_plane else {"path": "box"}  # where its density is
        evaluator: Evaluator = run.parts.construct("log_z", node | on_box | settings)
        scores = evaluator(Model(run.energy, run.parts["sampling"], Stream(seed)))
    except (ValueError, TypeError, UserError) as error:
        said = str(error).removeprefix("log_z: ")
        for hint in ("ais", "grid"):
            said = said.replace(f"; remove it with ~evaluator.{hint}", "")
        raise UserError(f"log_z: {said}") from None
    if not in_plane:
        return scores["ais_log_z"]
    error_bound = scores["log_z_error"].value
    return scores["log_z"]._replace(se=error_bound, verdict=f"quadrature: {evaluator.protocol.partition(',')[0]}")


def _node(run: "LoadedRun", name: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    """The run's own evaluator of a kind, by its class; of a run without, with other settings."""
    target = f"ebm_exp.evaluator.{name}"
    own: Iterable[Any] = run.config.get("evaluator", {}).values()
    return next((dict(node) for node in own if node.get("_target_") == target), {"_target_": target, **otherwise})


def read_log_z(run: "LoadedRun") -> Score | None:
    """log Z of these weights, where nothing need be computed: of an energy that knows it, as ``evaluate.py`` has found
    it, or as the training has at this step; None: it is not known.
    """
    if isinstance(run.energy, Analytic) and run.temperature == 1:
        return Score(float(run.energy.log_z), 0.0, better=None, unit="nats", verdict="known")
    noise = levels_of(run)
    if noise is not None and noise.known_constant is not None:
        return Score(noise.known_constant, 0.0, better=None, unit="nats", verdict="known")
    names = _NAMES if noise is None else _OF_LEVELS
    return _of_evaluation(run, names) or _of_training(run, names)


def _of_evaluation(run: "LoadedRun", names: Iterable[tuple[str, str]]) -> Score | None:
    try:
        kept = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
        for name, error in names:
            if (found := kept["scores"].get(name)) is None:
                continue
            made = kept["calls"][found["call"]]
            if made["step"] == run.step and made["weights"] == run.weights:
                se = found.get("se", kept["scores"].get(error, {}).get("value"))
                told = {key: found[key] for key in ("verdict", "refuted") if key in found}
                return Score(float(found["value"]), se, better=None, unit="nats", **told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # there is none, or it is no record of ours
    return None


def _of_training(run: "LoadedRun", names: Iterable[tuple[str, str]]) -> Score | None:
    if run.weights != "ema":
        return None
    row: dict[str, Any] = {}
    for each in run.metrics():
        row |= each if each.get("step") == run.step else {}
    for name, error in names:
        if (value := finite(row.get(SCORE(name)))) is None:
            continue
        se = finite(row.get(SCORE_ERROR(name), row.get(SCORE(error))))
        of_chains = name == "ais_log_z"
        holds = not of_chains or row.get(SCORE("ais_equilibrated"), 1.0) != 0.0
        verdict = None if not of_chains else f"equilibrated: {'yes' if holds else 'no'}"
        return Score(value, se, better=None, unit="nats", verdict=verdict, refuted=not holds)
    return None
