"""Bad values are named by key, with what is allowed."""

from typing import Any

import pytest

from ebm_exp.config.errors import UserError
from ebm_exp.config.trust import ANY
from ebm_exp.config.validate import validate

TOP = {"name": "x", "seed": 0, "device": "cpu", "optimized_metric": None}
LANGEVIN = {"_target_": "ebm_exp.sampler.Langevin", "step_size": 1.0, "n_steps": 3}


def sampler(**keys: Any) -> dict[str, Any]:
    return TOP | {"sampler": LANGEVIN | keys}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (sampler(step_size=-1), "sampler.step_size: must be > 0, got -1"),
        (sampler(step_size="abc"), "sampler.step_size: must be a number, got 'abc'"),
        (sampler(step_size=float("nan")), "sampler.step_size: must be"),
        (sampler(stepsize=1), "sampler.stepsize: unknown key; nearest is step_size"),
        (sampler(n_steps=2.5), "sampler.n_steps: must be a whole number, got 2.5"),
        (sampler(clamp="perhaps"), "sampler.clamp: must be true or false, got 'perhaps'"),
        (TOP | {"seed": -1}, "seed: must be ≥ 0, got -1"),
        (TOP | {"device": "tpu"}, "device: must be one of 'auto', 'cpu' or 'cuda', got 'tpu'"),
        (TOP | {"sede": 1}, "sede: unknown key; nearest is seed"),
        (TOP | {"energy": {"_target_": "ebm_exp.energy.MPL"}}, "energy._target_: cannot import ebm_exp.energy.MPL"),
        (TOP | {"energy": {"_target_": "no_such_package.X"}}, "energy._target_: cannot import no_such_package.X"),
        (
            TOP | {"regularization": {"energy_l2": LANGEVIN}},
            "regularization.energy_l2._target_: must be a Term, ebm_exp.sampler.Langevin is not",
        ),
        (TOP | {"evaluator": {"frechet": LANGEVIN}}, "evaluator.frechet._target_: must be an Evaluator"),
        (
            TOP | {"objective": {"_target_": "ebm_exp.objective.PCD", "terms": {"kl": None}}},
            "objective.terms.kl: must be a part with a _target_, got None; ~objective.terms.kl drops it",
        ),
        (
            TOP | {"objective": {"_target_": "ebm_exp.objective.PCD", "terms": {"kl": LANGEVIN}}},
            "objective.terms.kl._target_: must be a Term",
        ),
        (
            TOP | {"sampling": {"_target_": "ebm_exp.sampling.Chains", "n_steps": 3, "start": LANGEVIN}},
            "sampling.start._target_: must be a Start",
        ),
        (
            TOP | {"x": {"_target_": "ebm_exp.start.Mix", "starts": {"a": LANGEVIN}}},
            "x.starts.a._target_: must be a Start",
        ),
        (
            TOP | {"energy": {"_target_": "ebm_exp.energy.Energy"}},
            "energy._target_: ebm_exp.energy.Energy is abstract, choose a class of its kind",
        ),
        (
            TOP | {"energy": {"_target_": "ebm_exp.energy.MLP", "widths": [8, 0]}},
            "energy.widths[1]: must be > 0, got",
        ),
    ],
)
def test_message(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        validate(config, ANY)
    assert str(error.value).splitlines()[0].startswith(message)
    assert len(str(error.value).splitlines()) <= 3


def test_a_required_key_is_named() -> None:
    with pytest.raises(UserError, match=r"sampler.step_size: is required"):
        validate(TOP | {"sampler": {"_target_": "ebm_exp.sampler.Langevin", "n_steps": 3}})


def test_good_values_pass() -> None:
    validate(sampler(noise_std=None, gradient_clamp=0.1))
