"""Fresh chains: the same ones however many run together."""

import pytest
import torch

from ebm_exp.buffer import FromBuffer, InPlace
from ebm_exp.dataset import Synthetic
from ebm_exp.energy import MLP
from ebm_exp.engine import Eager
from ebm_exp.random import Stream
from ebm_exp.sampler import Langevin
from ebm_exp.sampling import Chains, fresh
from ebm_exp.start import Data, Start, Uniform
from ebm_exp.types import Points

N = 150
CPU = torch.device("cpu")


@pytest.fixture
def data() -> Synthetic:
    return Synthetic("synthetic", CPU, 0, shape=(1, 4, 4), classes=3, n_train=200, n_test=10)


def make(data: Synthetic, start: str, conditional: bool = False) -> Chains:
    noise: Start = Uniform(data, conditional)
    starts = {"uniform": noise, "data": Data(data, conditional)}
    buffer = InPlace(100, noise, data.domain, CPU, 0, conditional=conditional)  # fewer than are asked for
    starts["buffer"] = FromBuffer(buffer)
    return Chains(Langevin(0.1, 3, data.domain), Eager(CPU), data, starts[start], 5)


def draw(data: Synthetic, n: int, start: str, conditional: bool = False, **more) -> Points:
    torch.manual_seed(0)
    energy = MLP(data.event_shape, (16,), conditional=conditional, n_classes=3)
    return make(data, start, conditional).draw(energy, n, Stream(0), **more)


@pytest.mark.parametrize("start", ["uniform", "data", "buffer"])
@pytest.mark.parametrize("conditional", [False, True])
def test_chains_do_not_depend_on_how_many_run_together(
    monkeypatch: pytest.MonkeyPatch, data: Synthetic, start: str, conditional: bool
) -> None:
    together = draw(data, N, start, conditional)
    few = draw(data, 16, start, conditional)
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 1)  # the least: one chunk of 64 at a time
    apart = draw(data, N, start, conditional)
    for other in (apart, few):
        torch.testing.assert_close(together.x[: len(other.x)], other.x, rtol=0, atol=1e-6)
        assert (together.y is not None) == conditional
        if together.y is not None and other.y is not None:
            assert torch.equal(together.y[: len(other.y)], other.y)


def test_labels_that_are_asked_for(monkeypatch: pytest.MonkeyPatch, data: Synthetic) -> None:
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 1)
    y = torch.arange(N) % 2
    samples = draw(data, N, "uniform", True, y=y)
    assert samples.y is not None
    assert torch.equal(samples.y, y)
    with pytest.raises(ValueError, match="not class-conditional"):
        draw(data, N, "uniform", False, y=y)


def test_the_watcher_sees_the_first_batch(monkeypatch: pytest.MonkeyPatch, data: Synthetic) -> None:
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 1)
    seen: list[tuple[int, int]] = []
    draw(data, N, "uniform", watch=lambda step, energy, state, info: seen.append((step, len(energy(state.x)))))
    assert seen == [(step, 64) for step in range(1, 6)]


def test_settings_are_replaced_not_mutated(data: Synthetic) -> None:
    sampling = make(data, "uniform")
    assert sampling.replace(n_steps=50).describe() == "50 steps from uniform noise"
    assert sampling.describe() == "5 steps from uniform noise"
    with pytest.raises(AttributeError, match="n_step"):
        sampling.replace(n_step=1)
