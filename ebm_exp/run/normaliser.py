"""log Z of a trained run: where it is known, and how it is found."""

import json
from typing import TYPE_CHECKING, Any

from ebm_exp.config.errors import UserError
from ebm_exp.energy.analytic import Analytic
from ebm_exp.evaluator.base import Evaluator, Model, Score
from ebm_exp.random import Stream

if TYPE_CHECKING:
    from ebm_exp.run.loaded import LoadedRun

_KERNEL = {"_target_": "ebm_exp.sampler.HMC", "n_steps": 1, "step_size": None}  # as conf/evaluator/ais.yaml has them
_START = {"_target_": "ebm_exp.start.Independent"}


def find_log_z(run: "LoadedRun", seed: int, **settings: Any) -> Score:
    """log Z of exp(−E/T) on the domain: by quadrature in the plane, else by annealed importance sampling.

    Args:
        run: loaded with its data.
        seed: of the chains.
        settings: of the evaluator, ``n`` of ``Grid``, ``n_chains``, ``n_betas`` and ``n_equilibrate`` of ``AIS``.

    Raises:
        UserError: when the energy has no log Z of its own, since it takes labels, T is 0, or a clamp acts in training.
    """
    if isinstance(run.energy, Analytic) and run.temperature == 1:
        return Score(float(run.energy.log_z), 0.0, better=None, unit="nats", verdict="known")
    in_plane = run.parts["dataset"].event_shape == (2,)
    node: dict[str, Any] = {"_target_": f"ebm_exp.evaluator.{'Grid' if in_plane else 'AIS'}"}
    node |= settings if in_plane else {"kernel": _KERNEL, "start": _START, **settings}
    try:
        evaluator: Evaluator = run.parts.construct("log_z", node)
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


def read_log_z(run: "LoadedRun") -> Score | None:
    """What ``evaluate.py`` found for these weights of this run, as ``evaluation.json`` has it; None: nothing."""
    try:
        kept = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
        for name in ("log_z", "ais_log_z"):
            if (found := kept["scores"].get(name)) is None:
                continue
            made = kept["calls"][found["call"]]
            if made["step"] == run.step and made["weights"] == run.weights:
                se = kept["scores"].get("log_z_error", {}).get("value") if name == "log_z" else found.get("se")
                told = {key: found[key] for key in ("verdict", "refuted") if key in found}
                return Score(float(found["value"]), se, better=None, unit="nats", **told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return None
