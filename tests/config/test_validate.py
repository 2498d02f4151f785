"""Bad values are named by key, with what is allowed."""

import re
from typing import Annotated, Any, Required, TypedDict, Unpack

import pytest

from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.config.tree import look_up
from ebm_exp.config.trust import ANY
from ebm_exp.config.validate import validate
from ebm_exp.dataset import Domain
from ebm_exp.part import Part
from ebm_exp.types import From, NonNegative, PositiveInt

TOP = {"name": "x", "seed": 0, "device": "cpu", "optimized_metric": None}
LANGEVIN = {"_target_": "ebm_exp.sampler.Langevin", "step_size": 1.0, "n_steps": 3}


def sampler(**keys: Any) -> dict[str, Any]:
    return TOP | {"sampler": LANGEVIN | keys}


def digits(**keys: Any) -> dict[str, Any]:
    return TOP | {"dataset": {"_target_": "ebm_exp.dataset.Digits", "name": "digits"} | keys}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (sampler(step_size=-1), "sampler.step_size: must be > 0, got -1"),
        (sampler(step_size="abc"), "sampler.step_size: must be a number, got 'abc'"),
        (sampler(step_size=float("nan")), "sampler.step_size: must be"),
        (sampler(stepsize=1), "sampler.stepsize: unknown key; nearest is step_size"),
        (sampler(n_steps=2.5), "sampler.n_steps: must be a whole number, got 2.5"),
        (sampler(clamp="perhaps"), "sampler.clamp: must be true or false, got 'perhaps'"),
        (digits(clamp_noise="perhaps"), "dataset.clamp_noise: must be true or false, got 'perhaps'"),
        (digits(clamp_nose=True), "dataset.clamp_nose: unknown key; nearest is clamp_noise"),
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


def test_good_values_pass_and_stay() -> None:
    good = sampler(noise_std=None, gradient_clamp=0.1)
    assert validate(good) == good


ADAM = {"_target_": "torch.optim.Adam", "lr": 0.1}
MLP = {"_target_": "ebm_exp.energy.MLP"}
IGEBM = {"_target_": "ebm_exp.energy.IGEBM"}


@pytest.mark.parametrize(
    ("config", "key", "cast"),
    [
        (TOP | {"seed": 1.0}, "seed", 1),
        (TOP | {"seed": "01"}, "seed", 1),
        (TOP | {"trust": "no", "deterministic": 1}, "trust", False),
        (sampler(n_steps=3e0), "sampler.n_steps", 3),
        (sampler(step_size=2), "sampler.step_size", 2.0),
        (sampler(step_size="2"), "sampler.step_size", 2.0),
        (TOP | {"energy": MLP | {"widths": [8.0, "9"]}}, "energy.widths", [8, 9]),
        (TOP | {"energy": IGEBM | {"skip_kernel": 3.0}}, "energy.skip_kernel", 3),
        (TOP | {"optimizer": ADAM | {"betas": [0, "0.9"]}}, "optimizer.betas", [0.0, 0.9]),
        (TOP | {"x": {"_target_": "ebm_exp.sampler.Annealed", "n_steps": 1, "kernel": LANGEVIN | {"n_steps": 2.0}}},
         "x.kernel.n_steps", 2),
    ],
)  # fmt: skip
def test_a_value_is_cast_where_it_is_checked(config: dict[str, Any], key: str, cast: Any) -> None:
    found = look_up(validate(config, ANY), key)
    assert repr(found) == repr(cast)  # 1 is equal to 1.0, and to True


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TOP | {"seed": True}, "seed: must be a whole number, got True"),
        (sampler(step_size=False), "sampler.step_size: must be a number, got False"),
        (sampler(noise_std=True), "sampler.noise_std: must be a number, got True"),
        (TOP | {"energy": MLP | {"widths": [8, True]}}, "energy.widths[1]: must be a whole number, got [8, True]"),
        (TOP | {"energy": IGEBM | {"skip_kernel": True}}, "energy.skip_kernel: must be one of 1 or 3, got True"),
        (TOP | {"optimizer": ADAM | {"lr": True}}, "optimizer.lr: must be a number, got True"),
        (TOP | {"name": True}, "name: must be text, got True"),
        (TOP | {"deterministic": 2}, "deterministic: must be true or false"),
    ],
)
def test_true_is_no_number_and_no_text(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        validate(config, ANY)
    assert str(error.value).startswith(message)


def test_a_run_that_trained_with_true_for_one_is_read() -> None:
    run = TOP | {"seed": True, "energy": MLP | {"widths": [8, True]}}
    assert repr(validate(run, ANY, run)["energy"]["widths"]) == "[8, 1]"
    with pytest.raises(UserError, match="seed: must be a whole number, got False"):
        validate(run | {"seed": False}, ANY, run)  # that was typed now


class Shared(TypedDict, total=False):
    """Options of a family."""

    width: Required[PositiveInt]
    rate: NonNegative
    domain: Annotated[Domain, From("dataset.domain")]


class OfAFamily(Part):
    def __init__(self, depth: PositiveInt = 1, **options: Unpack[Shared]) -> None:
        self.depth, self.options = depth, options


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rate": 1}, "x.width: is required"),
        ({"width": 0}, "x.width: must be > 0, got 0"),
        ({"width": 1, "rate": -1}, "x.rate: must be ≥ 0, got -1"),
        ({"width": 1, "rat": 1}, "x.rat: unknown key; nearest is rate; choose from depth, rate, width"),
    ],
)
def test_options_that_a_family_shares_are_checked_as_any_other(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        validate(TOP | {"x": {"_target_": f"{__name__}.OfAFamily"} | keys}, ANY)


def test_options_that_a_family_shares_are_filled_as_any_other() -> None:
    config = TOP | digits() | {"x": {"_target_": f"{__name__}.OfAFamily", "width": "3"}}
    assert Parts(config, allowed=ANY)["x"].options == {"width": 3, "domain": Domain(-1.0, 1.0, (1, 8, 8))}
