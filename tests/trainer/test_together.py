"""Several processes share a batch: what each computes of its rows, averaged, is what one computes of all of them."""

import copy
import importlib
import inspect
import pkgutil
from abc import ABC
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import ebm_exp
from ebm_exp.buffer.deal import deal
from ebm_exp.config.errors import UserError
from ebm_exp.objective.base import Objective
from ebm_exp.random import Rows, Stream, draw_rows, for_batch, generator, uniform
from ebm_exp.ranks import ALONE, Ranks
from ebm_exp.regularization.base import Term
from ebm_exp.sampling import fresh
from ebm_exp.trainer.build import build
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.together import Together
from ebm_exp.types import Points
from tests.config.test_conf import composed

SMALL = (
    *("trainer.batch_size=12", "sampler.n_steps=2", "buffer.size=60", "evaluator=none", "device=cpu"),
    *("dataset=digits", "engine=eager"),
)
BITS = ("dataset=binary_digits", "sampler=gibbs_with_gradients")
UNET = ("energy=unet", "energy.channels=[8,8,8]", "energy.width=16", "regularization=none")
FLOW = (*UNET, "objective=flow_matching")
RECIPES: dict[str, tuple[str, ...]] = {
    "pcd": ("energy.widths=[16]",),
    "cd": ("objective=cd", "energy.widths=[16]", "regularization=[energy_l2,spectral_norm]"),
    "short_run": ("objective=short_run", "energy.widths=[16]", "regularization=[gradient_penalty]"),
    "improved": (
        *("objective=improved_cd", "energy.widths=[16]", "objective.terms.entropy.bank_size=8"),
        *("objective.terms.entropy.min_filled=8", "buffer=in_place", "regularization=gradient_penalty"),
        *("regularization.gradient_penalty.where=between", "regularization.gradient_penalty.target=1.0"),
    ),
    "nce": (
        *("objective=nce", "objective.n_noise=3", "energy.widths=[16]", "objective.start.n_components=2"),
        *("regularization=[gradient_penalty,energy_l2]", "regularization.gradient_penalty.where=samples"),
    ),
    "discrepancy": ("objective=energy_discrepancy", "energy.widths=[16]"),
    "flips": (*BITS, "objective=energy_discrepancy_binary", "objective.n_negatives=3", "energy.widths=[16]"),
    "pseudo": (*BITS, "objective=pseudo_likelihood", "objective.n_bits=5", "energy.widths=[16]"),
    "ratio": (*BITS, "objective=ratio_matching", "objective.n_bits=8", "energy.widths=[16]"),
    "flow": (
        *FLOW, "energy.timed=true", "energy.conditional=true", "energy.no_label=true", "objective.label_dropping=0.3",
    ),
    "transport": (*FLOW, "energy.timed=false", "objective.pairs=transport", "objective.target=equilibrium"),
    "levels": (*FLOW, "energy.timed=true", "normaliser=levels", "normaliser.after=0"),
    "dsm": (*UNET, "energy.timed=true", "noise=edm", "objective=dsm", "normaliser=time_score", "normaliser.after=0"),
    "single": ("objective=dsm", "objective.form=single", "energy.widths=[16]"),
    "sliced": ("objective=dsm", "objective.form=sliced", "energy.widths=[16]"),
    "tilted": ("energy=tilted", "energy.base.n_components=2", "energy.network.widths=[16]", "regularization=tilt_l2"),
    "stay": ("energy.widths=[16]", "regularization=velocity"),
    "jem": ("energy=joint", "energy.channels=[8,8,8]", "objective=jem"),
    "classes": ("energy=joint", "energy.channels=[8,8,8]", "objective=classification"),
}  # fmt: skip


class Simulated(Ranks):
    """Ranks that run one after another in one process, on parts of points that are known whole."""

    def __init__(self, rank: int, n: int, whole: Tensor) -> None:
        super().__init__(rank, n)
        self.whole = whole

    def gather(self, x: Tensor) -> Tensor:
        assert torch.equal(x, self.whole.chunk(self.n)[self.rank])
        return self.whole


def made(recipe: str, dtype: torch.dtype) -> tuple[Experiment, Any]:
    """An experiment, and what the loss of its whole batch is computed of."""
    _, ex = build(composed(*SMALL, *RECIPES[recipe]))
    for module in (ex.energy, ex.objective):  # an initial bias of 0, or weight, may hide what is wrong
        for i, p in enumerate(module.parameters()):
            p.data.add_(0.1 * torch.randn(p.shape, generator=generator("cpu", "jolt", i)))
    batch, noise = ex.batch(0), generator("cpu", "given")
    if getattr(ex.objective, "through", 0):  # what is given has a graph to the weights
        ex.energy.to(dtype)
        ex.objective.buffer.x = ex.objective.buffer.x.to(dtype)
        given, _ = ex.objective.gather(ex.energy.train(), Points(batch.x.to(dtype), batch.y), 0, noise)
    else:
        given, _ = ex.objective.gather(ex.energy.train(), batch, 0, noise)
        given = pytree.tree_map(lambda x: x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x, given)
        ex.energy.to(dtype)
        noise = copy.deepcopy(getattr(ex.objective, "noise", None))
        ex.objective.to(dtype)
        if hasattr(noise, "has_density"):  # it draws as before
            ex.objective.noise.draw = lambda n, g: Points(noise.draw(n, g).x.to(dtype))
    return ex, given


def gradient(ex: Experiment, given: Any, ranks: Ranks) -> Tensor:
    """Of the loss, ``[n_parameters]``."""
    loss = ex.objective.loss(ex.energy, given, for_batch(generator("cpu", "loss"), ranks)).total()
    params = [p for group in ex.optimizer.param_groups for p in group["params"]]
    found = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return torch.cat(
        [torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in zip(params, found, strict=True)]
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_ranks_find_the_gradient_of_the_whole_batch(recipe: str, unchecked: None) -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        ex, given = made(recipe, dtype)
        x = (given if isinstance(given, Points) else given.batch).x
        state = [(buffer, buffer.clone()) for buffer in ex.energy.buffers()]
        whole = gradient(ex, given, ALONE)
        assert whole.norm() > 0
        for n in (2, 3):
            parts = []
            for rank in range(n):
                for buffer, value in state:  # of power iterations
                    buffer.copy_(value)
                own = pytree.tree_map(partial(_rows, rank=rank, n=n, size=len(x)), given, is_leaf=_is_end)
                parts.append(gradient(ex, own, Simulated(rank, n, x)))
            error = float((torch.stack(parts).mean(0) - whole).norm() / whole.norm())
            assert error < tolerance, (dtype, n)
            assert (parts[0] - whole).norm() > 1e-3 * whole.norm()  # or else nothing was shared


def _is_end(leaf: Any) -> bool:
    return hasattr(leaf, "energy") and hasattr(leaf, "x")


def _rows(leaf: Any, rank: int, n: int, size: int) -> Any:
    if _is_end(leaf):
        return type(leaf)(leaf.x.chunk(n)[rank], leaf.energy)
    return leaf.chunk(n)[rank] if isinstance(leaf, Tensor) and leaf.shape[:1] == (size,) else leaf


def test_every_objective_and_term_is_compared_or_refused() -> None:
    for module in pkgutil.walk_packages(ebm_exp.__path__, "ebm_exp."):
        importlib.import_module(module.name)
    compared: set[type] = set()
    for recipe in RECIPES:
        _, ex = build(composed(*SMALL, *RECIPES[recipe]))
        compared |= {type(ex.objective), *(type(term) for _, term in ex.objective.terms.items())}
    for base in (Objective, Term):
        for kind in _kinds(base):
            assert kind in compared or kind.couples, kind


def _kinds(base: type) -> set[type]:
    below = {kind for each in base.__subclasses__() for kind in (each, *_kinds(each))}
    own = {kind for kind in below if kind.__module__.startswith("ebm_exp.")}
    return {kind for kind in own if ABC not in kind.__bases__ and not inspect.isabstract(kind)}


def test_what_couples_a_batch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(*SMALL, "energy.widths=[16]")
    with pytest.raises(UserError, match=r"trainer: batch_size must be a multiple of 5 for 5 processes, got 12"):
        build(config, ranks=Ranks(0, 5))
    with pytest.raises(UserError, match=r"buffer: size must be a multiple of 3, the processes that share it, got 62"):
        build(config | {"buffer": config["buffer"] | {"size": 62}}, ranks=Ranks(0, 3))
    _, ex = build(config, ranks=Ranks(1, 3))
    assert ex.objective.buffer.size == 20
    monkeypatch.setattr(type(ex.objective.terms["energy_l2"]), "couples", True)
    with pytest.raises(UserError, match=r"energy_l2: couples the points of a batch"):
        build(config, ranks=Ranks(0, 3))


def test_ranks_see_one_batch_and_its_noise() -> None:
    augmented = "augmentation@data_augmentation=crop_flip"
    _, one = build(composed(*SMALL, "dataset.dequantize=true", "trainer.accumulate_steps=2", augmented))
    for n in (2, 3):
        shares = [one._replace(stream=Stream(one.stream.seed, ranks=Ranks(rank, n))) for rank in range(n)]
        whole = one.batch(5)
        for parts in (1, 2):
            rows = [share.batch(5, parts).x.unflatten(0, (parts, -1)) for share in shares]
            assert torch.equal(torch.cat(rows, 1).flatten(0, 1), whole.x)
        assert torch.equal(shares[0].whole_batch(5).x, whole.x)


def test_rows_are_those_of_one_draw() -> None:
    for n in (2, 3):
        sources = [Rows(generator("cpu", 0), Ranks(rank, n)) for rank in range(n)]
        assert torch.equal(
            torch.cat([uniform((4, 2), each, torch.device("cpu")) for each in sources]),
            torch.rand(4 * n, 2, generator=generator("cpu", 0)),
        )
        drawn = [draw_rows(2, each, lambda k, g: Points(torch.arange(k), torch.arange(k))) for each in sources]
        assert torch.cat([each.y for each in drawn]).tolist() == list(range(2 * n))


def test_chains_are_dealt_to_one_rank_each() -> None:
    held = [
        {"x": torch.arange(6.0) + 10 * i, "age": torch.arange(6), "_extra_state": {"n_stored": 4, "n_writes": 2 + i}}
        for i in range(2)
    ]
    for n in (1, 3, 4):
        dealt = [deal(held, Ranks(rank, n), generator("cpu", "deal")) for rank in range(n)]
        assert {each["_extra_state"]["n_stored"] for each in dealt} == {8 // n}
        assert all(each["_extra_state"]["n_writes"] == 3 for each in dealt)
        chains = torch.cat([each["x"][: 8 // n] for each in dealt]).tolist()
        assert set(chains) <= {0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0}
        assert len(set(chains)) == len(chains) == 8 // n * n
        assert all(len(each["x"]) == 12 // n for each in dealt)


class Two(Ranks):
    """The first of two, the other of which has the same."""

    def __init__(self) -> None:
        super().__init__(0, 2)

    def add(self, x: Tensor) -> None:
        x.mul_(2)


def test_gradients_keep_their_shapes_and_wishes_come_a_step_later() -> None:
    params = [nn.Parameter(torch.randn(shape)) for shape in ((3, 4), (5,), (2, 3, 3, 3))]
    params[2] = nn.Parameter(params[2].detach().to(memory_format=torch.channels_last))
    together = Together(Two(), params)
    given: list[Tensor | None] = [torch.randn_like(params[0]), None, torch.randn_like(params[2])]
    assert together.agree(True, False) == (False, False)
    for size in (1, 200):  # more numbers than there is room for
        told = {f"m{i}": torch.tensor(float(i)) for i in range(size)}
        averaged, (means,) = together.average(given, [told])
        assert averaged[1] is None
        for p, own, found in zip(params, given, averaged, strict=True):
            assert own is None or (torch.equal(own, found) and found.stride() == p.stride())
        assert {name: float(mean) for name, mean in means.items()} == {f"m{i}": i for i in range(size)}
    assert together.agree(False, False) == (True, False)


def test_no_rank_waits_for_its_device() -> None:
    params = [nn.Parameter(torch.empty(3, 2, device="meta"))]
    together = Together(Two(), params)
    together.agree(True)
    averaged, (means,) = together.average([torch.empty(3, 2, device="meta")], [{"a": torch.empty((), device="meta")}])
    assert averaged[0].device.type == means["a"].device.type == "meta"


class Padded(Ranks):
    """One of some ranks, which hears nothing of the others."""

    def gather(self, x: Tensor) -> Tensor:
        whole = torch.zeros(self.n * len(x), *x.shape[1:])
        whole[self.rank * len(x) : (self.rank + 1) * len(x)] = x
        return whole


def test_ranks_draw_the_samples_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for recipe, at_once in (("pcd", 1), ("flow", 2**17)):
        monkeypatch.setitem(fresh.AT_ONCE, "cpu", at_once)  # 1: the same chunks move together, whoever moves them
        _, ex = build(composed(*SMALL, *RECIPES[recipe], "sampling.n_steps=3"))
        whole = ex.sampling.draw(ex.energy, 150, Stream(3))
        for n in (2, 3, 4):
            each = [ex.sampling.draw(ex.energy, 150, Stream(3, ranks=Padded(rank, n))) for rank in range(n)]
            together = torch.stack([points.x for points in each]).sum(0)
            assert torch.equal(together, whole.x) if at_once == 1 else torch.allclose(together, whole.x, atol=1e-4)
            assert all(points.y is None or torch.equal(points.y, whole.y) for points in each)
