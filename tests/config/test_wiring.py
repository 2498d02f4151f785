"""What a constructor is given: by its own node, by its default, by the rest of the experiment."""

import functools
import sys
import types
from typing import Annotated, Any

import pytest
import torch
from torch import nn

from ebm_exp.buffer import Buffer
from ebm_exp.config.build import Parts
from ebm_exp.config.errors import UserError
from ebm_exp.config.suggestions import Suggestions
from ebm_exp.config.trust import ANY
from ebm_exp.config.validate import validate
from ebm_exp.dataset import Dataset
from ebm_exp.sampler import Langevin, Sampler
from ebm_exp.trainer.build import build
from ebm_exp.types import From, Provided
from tests.config.test_conf import composed

TOP = {"name": "x", "seed": 3, "device": "cpu", "optimized_metric": None}


class Plain:
    def __init__(self, seed: int = 7, temperature: float = 0.25, sampler: Any = None, dataset: Any = "none") -> None:
        self.found = (seed, temperature, sampler, dataset)


class Asking:
    def __init__(self, seed: Provided[int], scale: Annotated[float, From("plain.found")] = 1.0) -> None:
        self.seed, self.scale = seed, scale


class Named:
    """Parameters whose names a builder could take for something of its own."""

    def __init__(self, suggest: Any, chain: Any, group: Any, path: Any = None, node: Any = None) -> None:
        self.suggest, self.chain, self.group, self.path, self.node = suggest, chain, group, path, node


class Owner(nn.Module):
    def __init__(self, buffer: Provided[Buffer], own: nn.Module) -> None:
        super().__init__()
        self.buffer, self.own, self.weight = buffer, own, nn.Parameter(torch.zeros(1))


class First:
    def __init__(self, second: Provided[Any]) -> None:
        self.second = second


class Second:
    def __init__(self, third: Annotated[Any, From("third.value")]) -> None:
        self.third = third


class Third:
    def __init__(self, first: Provided[Any]) -> None:
        self.value = first


class Lacking:
    def __init__(self, teacher: Provided[Any]) -> None:
        self.teacher = teacher


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes above as a package of the user's."""
    module = types.ModuleType("my_parts")
    for kind in (Plain, Asking, Named, Owner, First, Second, Third, Lacking):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "my_parts", module)


def node(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"my_parts.{kind}"} | arguments


def test_a_circle_of_parts_is_named() -> None:
    config = TOP | {"first": node("First"), "second": node("Second"), "third": node("Third")}
    validate(config, ANY)
    with pytest.raises(UserError, match=r"first: a circle of parts.*: first → second → third → first"):
        Parts(config, allowed=ANY)["first"]
    with pytest.raises(UserError, match=r"third: a circle of parts.*: third → first → second → third"):
        Parts(config, allowed=ANY)["third"]


def test_a_buffer_that_begins_from_itself_is_a_circle() -> None:
    with pytest.raises(UserError, match=r"buffer: a circle of parts.*: buffer → buffer"):
        build(composed("start@buffer.start=buffer"))


def test_a_plain_parameter_is_filled_by_nothing_but_its_node() -> None:
    parts = Parts(composed() | {"plain": node("Plain"), "other": node("Plain", seed=1, dataset="mine")}, allowed=ANY)
    assert parts["plain"].found == (7, 0.25, None, "none")
    assert parts["other"].found == (1, 0.25, None, "mine")
    assert "sampler" not in parts._built


def test_a_value_of_the_node_beats_what_is_provided() -> None:
    config = TOP | {"plain": node("Plain"), "a": node("Asking"), "b": node("Asking", seed=11, scale=2.0)}
    validate(config, ANY)
    parts = Parts(config, allowed=ANY)
    assert (parts["b"].seed, parts["b"].scale) == (11, 2.0)
    assert "plain" not in parts._built
    assert (parts["a"].seed, parts["a"].scale) == (3, parts["plain"].found)


def test_a_node_of_a_part_beats_the_experiments() -> None:
    config = composed("+sampling.sampler={_target_: ebm_exp.sampler.Langevin, step_size: 0.5, n_steps: 7}")
    validate(config, ANY)
    parts = Parts(config, allowed=ANY)
    assert parts["sampling"].sampler.step_size == 0.5
    assert parts["sampling"].sampler is not parts["sampler"] is parts["objective"].sampler
    assert parts["sampler"].step_size == config["dataset"]["suggest"]["step_size"]


def test_what_is_not_there_leaves_the_default_or_is_named() -> None:
    langevin = {"_target_": "ebm_exp.sampler.Langevin", "step_size": 1.0, "n_steps": 3}
    with pytest.raises(UserError, match=r"sampler.domain: is filled from dataset.domain, which this .* does not have"):
        Parts(TOP | {"sampler": langevin})["sampler"]
    assert Parts(TOP | {"a": node("Asking")}, allowed=ANY)["a"].scale == 1.0
    with pytest.raises(UserError, match=r"a.teacher: is filled from teacher, which this experiment does not have"):
        Parts(TOP | {"a": node("Lacking")}, allowed=ANY)["a"]


@pytest.mark.parametrize("place", ["own", "dataset.stand_in"])
def test_names_of_suggestions_are_names_like_others_elsewhere(place: str) -> None:
    """``suggest``, ``chain`` and ``group`` are built as written."""
    langevin = {"_target_": "ebm_exp.sampler.Langevin", "step_size": 1.0, "n_steps": 3}
    given = node("Named", suggest={"_target_": "torch.nn.Tanh"}, chain=langevin, group="mine", path="p", node="n")
    if place == "own":
        config = composed() | {"own": given}
        validate(config, ANY)
        built = Parts(config, allowed=ANY)["own"]
    else:
        built = Parts(composed(), allowed=ANY).construct(place, given)
    assert isinstance(built.suggest, nn.Tanh)
    assert isinstance(built.chain, Langevin)
    assert (built.group, built.path, built.node) == ("mine", "p", "n")
    with pytest.raises(UserError, match=r"own.chain: is required"):
        validate(TOP | {"own": {k: v for k, v in given.items() if k != "chain"}}, ANY)


def test_partial_gives_a_constructor() -> None:
    config = composed() | {
        "make": node("Asking", _partial_=True),
        "kernel": {"_target_": "ebm_exp.sampler.Langevin", "_partial_": True, "n_steps": 3},
    }
    validate(config, ANY)
    parts = Parts(config, allowed=ANY)
    assert isinstance(parts["make"], functools.partial)
    assert parts["make"]().seed == config["seed"]
    assert parts["make"](seed=5).seed == 5 != config["seed"]
    kernel = parts["kernel"](step_size=0.5)
    assert isinstance(kernel, Langevin)
    assert (kernel.step_size, kernel.n_steps) == (0.5, 3)
    with pytest.raises(UserError, match=r"kernel.step: unknown key"):
        validate(TOP | {"kernel": config["kernel"] | {"step": 1}}, ANY)


def test_a_provided_module_is_no_submodule() -> None:
    parts = Parts(
        composed() | {"owner": node("Owner", own={"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1})},
        allowed=ANY,
    )
    owner = parts["owner"]
    assert owner.buffer is parts["buffer"]
    assert dict(owner.named_children()).keys() == {"own"}
    assert set(owner.state_dict()) == {"weight", "own.weight", "own.bias"}


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("objective=improved_cd",),
        ("start@sampling.start=buffer",),
        ("start@sampling.start=mix", "start@sampling.start.starts.data=buffer"),
        ("sampler=jump", "objective=short_run"),
        ("sampler=tempering",),
        ("sampler=annealed", "augmentation=crop_flip"),
    ],
    ids=" ".join,
)
def test_no_storage_is_twice_in_a_checkpoint(overrides: tuple[str, ...]) -> None:
    parts, experiment = build(composed(*overrides))
    parts["sampling"], parts["trainer"]
    owners: dict[int, str] = {}
    for name, part in parts.stateful().items():
        for key, tensor in part.state_dict().items():
            if isinstance(tensor, torch.Tensor) and tensor.numel():
                at = tensor.untyped_storage().data_ptr()
                assert at not in owners, f"{name}.{key} is {owners[at]} too"
                owners[at] = f"{name}.{key}"
    assert not any(key.startswith(("sampler", "buffer", "engine")) for key in experiment.objective.state_dict())


def test_each_provided_part_is_the_experiments_own() -> None:
    parts, experiment = build(composed())
    assert isinstance(parts["dataset"], Dataset)
    assert isinstance(parts["sampler"], Sampler)
    assert experiment.sampling.dataset is parts["dataset"]
    assert experiment.sampling.engine is experiment.objective.engine is parts["engine"]
    assert experiment.objective.buffer is parts["buffer"]
    assert experiment.sampling.temperature == experiment.objective.temperature


def test_the_suggested_temperature_follows_from_step_and_noise() -> None:
    assert Suggestions({"step_size": 0.5, "noise_std": None}).temperature == 1
    assert Suggestions({"step_size": 0.5, "noise_std": 0.1}).temperature == pytest.approx(0.02)
