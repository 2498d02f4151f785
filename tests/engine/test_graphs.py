"""Recorded work computes what eager work does; on the CPU a recording is rehearsed: each replay does the work again."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from ebm_exp import noise
from ebm_exp.config.device import set_deterministic
from ebm_exp.config.validate import validate
from ebm_exp.dataset import Digits
from ebm_exp.energy import MLP, Energy
from ebm_exp.engine import Eager, Engine, Graphs, Run, Work, graphs
from ebm_exp.guard.meter import Meter
from ebm_exp.objective import Loss
from ebm_exp.random import Stream, generator
from ebm_exp.regularization import SpectralNorm
from ebm_exp.sampling import Flow
from ebm_exp.trainer.build import build
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.update import Update
from tests.config.test_conf import EXPERIMENTS, composed, fewer_components
from tests.sampler.test_contract import BOX, SAMPLERS

CPU = torch.device("cpu")


def net() -> Energy:
    torch.manual_seed(0)
    return SpectralNorm().prepare(MLP((3,), (16,), conditional=True, n_classes=2))


def rehearse(work: Callable[[], Any], generator: torch.Generator | None) -> tuple[Any, Callable[[], None]]:
    for _ in range(2):
        work()
    result = work()

    def replay() -> None:
        for to, value in zip(pytree.tree_leaves(result), pytree.tree_leaves(work()), strict=True):
            if isinstance(to, torch.Tensor):
                to.copy_(value)

    return result, replay


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Recordings that are made, each with the number of its replays."""
    made: list[Any] = []

    def record(work: Callable[[], Any], generator: torch.Generator | None) -> tuple[Any, Callable[[], None]]:
        result, replay = rehearse(work, generator)
        made.append(0)
        at = len(made) - 1

        def counted() -> None:
            made[at] += 1
            replay()

        return result, counted

    monkeypatch.setattr(graphs, "record", record)
    return made


def recording() -> Graphs:
    engine = Graphs(CPU)
    engine.records = True
    return engine


@pytest.mark.parametrize("n_adapt", [0, 2])
@pytest.mark.parametrize("name", SAMPLERS)
def test_chains_are_those_of_the_eager_engine(name: str, n_adapt: int, rehearsed: list[int]) -> None:
    energy, engine, sampler = net(), recording(), SAMPLERS[name]()
    for n in (10, 10, 6):  # a recording is used again, and one of another shape made
        x, y = BOX.uniform(n, generator("cpu", "points", n)), torch.arange(n) % 2
        how = Run(0.5, n_steps=5, n_adapt=n_adapt, scale=0.9)
        chains = [
            each.run(sampler, each.target(energy), x, generator("cpu", 1), how, y=y) for each in (Eager(CPU), engine)
        ]
        for eager, recorded in zip(*map(pytree.tree_leaves, chains), strict=True):
            assert torch.equal(eager, recorded) if isinstance(eager, torch.Tensor) else eager == recorded
        with torch.no_grad():
            for p in energy.parameters():
                p.add_(0.1 * torch.randn_like(p))
    assert rehearsed == [10, 5]


def trained(overrides: list[str], n_updates: int, tmp_path: Path, records: bool | None = None) -> tuple[Any, Engine]:
    """What updates leave: weights, buffers of parts, means of metrics; and the engine."""
    config = composed(*overrides, "debug=smoke")
    fewer_components(config)
    if "root" in config["dataset"]:
        config["dataset"]["root"] = str(tmp_path)
    if "channels" in config["energy"]:
        config["energy"]["channels"] = [max(width // 16, 8) for width in config["energy"]["channels"]]
    if "size" in config["dataset"]:
        config["dataset"]["stand_in"]["shape"][1:] = [min(config["dataset"]["size"], 64)] * 2
    validate(config)
    parts, experiment = build(config)
    if records is not None:
        experiment.engine.records = records
    device = experiment.engine.device
    meter, ema = Meter(device), EMA(experiment.energy, experiment.objective, 0.1)
    update = Update(experiment, ema, meter, gradient_norm_clip=1.0)
    losses = [update(step).total().clone() for step in range(n_updates)]
    states = [part.state_dict() for part in parts.stateful().values()]
    return (states, ema.state_dict(), meter.read(), losses), experiment.engine


def assert_equal(a: Any, b: Any) -> None:
    for one, other in zip(pytree.tree_leaves(a), pytree.tree_leaves(b), strict=True):
        if isinstance(one, torch.Tensor):
            torch.testing.assert_close(one.cpu(), other.cpu(), rtol=0, atol=0, equal_nan=True)
        else:
            assert one == other


RECORDED = {  # replays in three updates: of the two steps of chains, of the loss, of Muon's step
    "flow/digits": [3, 3],
    "dsm/digits normaliser.after=0.5": [1, 3, 2],  # without the normaliser, with it
    "levels/digits normaliser=levels": [3, 3],
    "flow/digits_static": [3],  # pairs of noise and data are found on the host
    "plane/nce": [3],
    "plane/energy_discrepancy": [3],
    "plane/rings": [6, 3],
    "binary_digits": [6, 3],
    "digits_ml": [6, 3],
    "jem/fashion_mnist_small": [6, 3],
    "du2021/digits_small": [3],  # the loss goes through the second step
    "flow/digits_stay": [12, 6],  # a first passage of all chains; its term's pairs are found on the host
}


@pytest.mark.parametrize("experiment", RECORDED)
def test_updates_are_those_of_the_eager_engine(experiment: str, tmp_path: Path, rehearsed: list[int]) -> None:
    overrides = [*f"experiment={experiment}".split(), "engine=graphs", "device=cpu"]
    eager, _ = trained(overrides, 3, tmp_path)
    assert not rehearsed
    recorded, _ = trained(overrides, 3, tmp_path, records=True)
    assert_equal(eager, recorded)
    assert rehearsed == RECORDED[experiment]


def test_power_iterations_of_a_recorded_loss_are_those_of_its_replays(tmp_path: Path, rehearsed: list[int]) -> None:
    overrides = ["experiment=plane/nce", "regularization=du2019", "engine=graphs", "device=cpu"]
    eager, _ = trained(overrides, 3, tmp_path)
    recorded, _ = trained(overrides, 3, tmp_path, records=True)
    assert rehearsed == [3]
    assert_equal(eager, recorded)


def works(energy: Energy) -> list[Work[Loss]]:
    """Two losses of one energy, with random numbers."""

    def loss(power: int, given: torch.Tensor, numbers: torch.Generator) -> Loss:
        noise = torch.randn(given.shape, generator=numbers)
        return Loss({"e": energy(given + noise, y=torch.zeros(len(given), dtype=torch.long)) ** power}, {}, {})

    return [Work(partial(loss, power), list(energy.parameters()), list(energy.buffers()), True) for power in (1, 2)]


def test_a_loss_has_the_recording_of_its_work(rehearsed: list[int]) -> None:
    """A part of a batch has none: its gradients are added up, and a replay would write over them."""
    both: list[list[Any]] = []
    for engine in (Eager(CPU), recording()):
        found, some = [], works(net())
        for step, n_parts in enumerate((1, 1, 2, 2)):
            for work in some:
                x = BOX.uniform(6, generator("cpu", "points", step))
                found.append(engine.differentiate(work, x, generator("cpu", step), n_parts))
                found[-1] = pytree.tree_map(lambda leaf: leaf.clone() if torch.is_tensor(leaf) else leaf, found[-1])
        both.append(found)
    assert_equal(*both)
    assert rehearsed == [2, 2]


def test_what_cannot_be_recorded_is_told_and_runs_eagerly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def record(work: Callable[[], Any], generator: torch.Generator | None) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(graphs, "record", record)
    energy, x, sampler = MLP((3,), (16,)), torch.zeros(4, 3), SAMPLERS["langevin"]()
    engine = recording()
    chains = [
        each.run(sampler, each.target(energy), x, generator("cpu", 1), Run(1.0)).x
        for each in (Eager(CPU), engine, engine)
    ]
    assert torch.equal(chains[0], chains[1])
    assert torch.equal(chains[0], chains[2])
    told = "engine=graphs: a chain is not recorded and runs eagerly (operation not permitted when stream is capturing)"
    assert [record.message for record in caplog.records] == [told]


def test_recordings_are_kept_up_to_a_number(rehearsed: list[int]) -> None:
    engine, sampler = recording(), SAMPLERS["langevin"]()
    energy = MLP((3,), (16,))
    for n in (*range(1, graphs.KEPT + 2), 2, 1):
        engine.run(sampler, engine.target(energy), torch.zeros(n, 3), generator("cpu", 1), Run(1.0))
    assert len(rehearsed) == graphs.KEPT + 2  # 2 is still there, 1 was made anew


def test_a_flow_is_sampled_as_by_the_eager_engine(rehearsed: list[int]) -> None:
    data = Digits("digits", CPU)
    energy = MLP((1, 8, 8), (16,), timed=True, standard=noise.Flow().standard)
    for method, n_gradients in (("heun", 6), ("stochastic_heun", 6)):
        drawn = [
            Flow(engine, data, noise.Flow(), 3, method).draw(energy, 20, Stream(0)).x
            for engine in (Eager(CPU), recording())
        ]
        assert torch.equal(*drawn)
        assert rehearsed.pop() == n_gradients


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_updates_are_those_of_the_eager_engine_on_a_gpu(
    experiment: str, precision: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_deterministic(True)
    try:
        overrides = [experiment, "device=cuda", "deterministic=true", f"engine.precision={precision}"]
        recorded, engine = trained([*overrides, "engine=graphs"], 3, tmp_path)
        assert isinstance(engine, Graphs)
        assert not [record.message for record in caplog.records if "not recorded" in record.message]
        assert engine._recordings
        assert_equal(recorded, trained(overrides, 3, tmp_path)[0])
    finally:
        set_deterministic(False)


def test_gradients_of_parts_add_up_to_that_of_the_whole() -> None:
    work = works(net())[0]
    whole = [gradient.clone() for gradient in differentiate(work, 1)]
    parts = [sum(each) for each in zip(differentiate(work, 2), differentiate(work, 2), strict=True)]
    for expected, found in zip(whole, parts, strict=True):
        torch.testing.assert_close(found, expected)


def differentiate(work: Work[Loss], n_parts: int) -> list[torch.Tensor]:
    """Gradients of one loss as one of so many parts."""
    x = BOX.uniform(6, generator("cpu", "points"))
    _, _, gradients = Eager(CPU).differentiate(work, x, generator("cpu", 0), n_parts)
    return [gradient.clone() for gradient in gradients if gradient is not None]
