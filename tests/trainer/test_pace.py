"""Time is told before a training that will take long, and telling it changes nothing."""

from typing import Any

import pytest
import torch

from ebm_exp.guard import Meter
from ebm_exp.trainer import pace
from ebm_exp.trainer.build import build
from ebm_exp.trainer.ema import EMA
from ebm_exp.trainer.experiment import Experiment
from ebm_exp.trainer.settings import Trainer
from ebm_exp.trainer.update import Update
from tests.config.test_conf import composed

CHAINS = ("dataset=two_moons", "sampler=mala", "energy.widths=[8]", "buffer.size=64", "trainer.batch_size=32")
NORMED = (
    "energy=conv",
    "energy.channels=[8]",
    "regularization=spectral_norm",
    "buffer.size=64",
    "trainer.batch_size=8",
)
LOSS = ("experiment=flow/digits", "energy.channels=[8,8,8,8]", "energy.width=8", "energy.head_width=8")


def made(*typed: str) -> tuple[Experiment, Trainer, Update]:
    quick = ("device=cpu", "evaluator=none", "optimized_metric=null", "logger.mode=disabled")
    parts, ex = build(composed(*typed, *quick))
    trainer = parts["trainer"]
    ema, meter = EMA(ex.energy, ex.objective, trainer.ema_rate), Meter(ex.engine.device)
    return ex, trainer, Update(ex, ema, meter, trainer.accumulate_steps)


@pytest.mark.parametrize("typed", [CHAINS, NORMED, LOSS], ids=["chains", "spectral norm", "loss"])
def test_timing_changes_no_state_and_draws_no_number(typed: tuple[str, ...]) -> None:
    ex, _, update = made(*typed, "trainer.accumulate_steps=2")
    update(0)  # what is there after a step: gradients, moments, a buffer that holds chains
    before, numbers = ex.state_dict(), torch.get_rng_state()
    before = torch.utils._pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, before)
    assert pace.time_update(ex, update) > 0
    torch.testing.assert_close(ex.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(p.grad is None for p in update.work.params) == (typed is LOSS)


@pytest.mark.parametrize("seconds", [1e-3, 1.0])  # of a step of a whole batch
def test_the_time_is_that_of_its_chains(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ex, _, update = made(*CHAINS, "sampler.n_steps=20")
    sampler, plain = ex.objective.sampler, ex.objective.sampler.step  # type: ignore[attr-defined]
    clock, rows = 0.0, []

    def slow(energy: Any, state: Any, *given: Any) -> Any:
        nonlocal clock
        rows.append(len(state.x))
        clock += seconds * len(state.x) / 32
        return plain(energy, state, *given)

    monkeypatch.setattr(sampler, "step", slow)
    monkeypatch.setattr(pace.time, "perf_counter", lambda: clock)
    assert pace.time_update(ex, update) == pytest.approx(23 * seconds)
    assert rows == ([4, 4, 32, 32] if seconds < 0.1 else [4, 4])  # where that is dear, of a part of the batch


@pytest.mark.parametrize(
    ("seconds", "typed", "says"),
    [
        (2.0, ("trainer.max_steps=1000",), None),
        (2.0, ("trainer.max_steps=3000", "trainer.max_minutes=60"), None),
        (1e6, ("trainer.max_steps=5",), None),  # over before it would be of use, and told after the first
        (
            40.0,
            ("trainer.max_steps=3000",),
            "time      about 33 h on this device, 40 s a step; what helps: a GPU or engine.precision=bf16 or less of "
            "trainer.max_steps, sampler.n_steps, trainer.batch_size, the energy's widths; trainer.max_minutes=60 ends "
            "it after an hour",
        ),
    ],
)
def test_more_than_an_hour_is_told(
    seconds: float, typed: tuple[str, ...], says: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "time_update", lambda ex, update: seconds)
    monkeypatch.setattr("ebm_exp.engine.probe.bf16_ratio", lambda: 0.5)
    assert pace.tell_pace(*made(*CHAINS, *typed), 0) == ([] if says is None else [says])
