"""Fresh chains: the same ones however many run together."""

import pytest
import torch

from ebm_exp.dataset import Synthetic
from ebm_exp.energy import MLP
from ebm_exp.random import generator
from ebm_exp.sampler import FreshChains, Langevin, fresh
from ebm_exp.sampler.fresh import Samples
from ebm_exp.types import Minibatch

N = 150


@pytest.fixture
def data() -> Synthetic:
    return Synthetic("synthetic", torch.device("cpu"), 0, shape=(1, 4, 4), classes=3, n_train=200, n_test=10)


def draw(data: Synthetic, n: int, init: str, conditional: bool = False, **more) -> Samples:
    torch.manual_seed(0)
    energy = MLP(data.event_shape, (16,), conditional=conditional, n_classes=3)
    chains = FreshChains(Langevin(0.1, 3, data.domain), data, 5, init)
    buffer = Minibatch(data.domain.uniform(N, generator("cpu", "buffer")), torch.arange(N) % 3 if conditional else None)
    return chains.draw(energy, n, 0, buffer, **more)


@pytest.mark.parametrize("init", ["noise", "data", "buffer"])
@pytest.mark.parametrize("conditional", [False, True])
def test_chains_do_not_depend_on_how_many_run_together(
    monkeypatch: pytest.MonkeyPatch, data: Synthetic, init: str, conditional: bool
) -> None:
    together = draw(data, N, init, conditional)
    few = draw(data, 16, init, conditional)
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 1)  # the least: one chunk of 64 at a time
    apart = draw(data, N, init, conditional)
    for other in (apart, few):
        torch.testing.assert_close(together.x[: len(other.x)], other.x, rtol=0, atol=1e-6)
        assert (together.y is not None) == conditional
        if together.y is not None and other.y is not None:
            assert torch.equal(together.y[: len(other.y)], other.y)


def test_labels_that_are_asked_for(monkeypatch: pytest.MonkeyPatch, data: Synthetic) -> None:
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 1)
    y = torch.arange(N) % 2
    samples = draw(data, N, "noise", True, y=y)
    assert samples.y is not None
    assert torch.equal(samples.y, y)
    with pytest.raises(ValueError, match="not class-conditional"):
        draw(data, N, "noise", False, y=y)


def test_the_watcher_sees_the_first_batch(monkeypatch: pytest.MonkeyPatch, data: Synthetic) -> None:
    monkeypatch.setitem(fresh.AT_ONCE, "cpu", 1)
    seen: list[tuple[int, int]] = []
    draw(data, N, "noise", watch=lambda step, energy, state, info: seen.append((step, len(energy(state.x)))))
    assert seen == [(step, 64) for step in range(1, 6)]


def test_a_buffer_with_too_few_points_is_refused(data: Synthetic) -> None:
    with pytest.raises(ValueError, match=f"init: buffer has {N} points, asked for {N + 1}"):
        draw(data, N + 1, "buffer")
