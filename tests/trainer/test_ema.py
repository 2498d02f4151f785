import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from ebm_exp.energy import Energy
from ebm_exp.objective import Loss, Objective
from ebm_exp.regularization.spectral_norm import PowerIteration
from ebm_exp.trainer.ema import EMA


class Constant(Objective):
    """No parameters of its own."""

    def loss(self, energy, given, generator) -> Loss:
        return Loss({}, {}, {})


class Scaled(Constant):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


class Flat(Energy):
    def forward(self, x):
        return 0 * x.sum(1)


class Linear(Energy):
    def __init__(self, n_in: int = 3, n_out: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x):
        return self.linear(x).sum(1)


NOTHING = Constant()


class Net(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("running", torch.zeros(4))


def walk(ema: EMA, net: nn.Module, n: int) -> torch.Tensor:
    """n random weights, one update each; the weights [n, 2, 3]."""
    g = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(n):
        with torch.no_grad():
            net.linear.weight.copy_(torch.randn(2, 3, generator=g))
        ema.update()
        seen.append(net.linear.weight.detach().clone())
    return torch.stack(seen).double()


@pytest.mark.parametrize("n", [1, 2, 5, 10])
def test_is_the_exact_mean_at_first(n: int) -> None:
    net = Net()
    ema = EMA(net, NOTHING, rate=0.1)
    seen = walk(ema, net, n)
    torch.testing.assert_close(ema.energy.linear.weight.double(), seen.mean(0), rtol=1e-6, atol=1e-6)
    assert ema.n_updates == n


def test_then_forgets_geometrically() -> None:
    """n0 = 1/rate updates are averaged, then θ̄ₙ = (1 − r)^(n − n0) θ̄ₙ₀ + Σ r (1 − r)^(n − i) θᵢ."""
    net, rate, first, n = Net(), 0.25, 4, 12
    ema = EMA(net, NOTHING, rate)
    seen = walk(ema, net, n)
    kept = 1 - rate
    expected = kept ** (n - first) * seen[:first].mean(0)
    expected += sum(rate * kept ** (n - i) * seen[i - 1] for i in range(first + 1, n + 1))
    torch.testing.assert_close(ema.energy.linear.weight.double(), expected, rtol=1e-6, atol=1e-6)


def test_rate_one_follows_exactly_and_rate_zero_is_the_plain_mean() -> None:
    net = Net()
    ema = EMA(net, NOTHING, 1.0)
    assert torch.equal(walk(ema, net, 7)[-1].float(), ema.energy.linear.weight)
    ema = EMA(net, NOTHING, 0.0)
    seen = walk(ema, net, 50)
    torch.testing.assert_close(ema.energy.linear.weight.double(), seen.mean(0), rtol=1e-5, atol=1e-5)
    for rate in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"rate must be in \[0, 1\]"):
            EMA(net, NOTHING, rate)


def test_the_copy_is_apart_in_evaluation_mode_and_takes_no_gradient() -> None:
    net = Net().train()
    ema = EMA(net, NOTHING, 0.5)
    assert not ema.energy.training
    assert net.training
    assert not any(p.requires_grad for p in ema.energy.parameters())
    assert all(p.requires_grad for p in net.parameters())
    before = copy.deepcopy(ema.energy.state_dict())
    with torch.no_grad():
        net.linear.weight.add_(1)
    torch.testing.assert_close(ema.energy.state_dict(), before, rtol=0, atol=0)


def test_buffers_are_copied_not_averaged() -> None:
    net = Net()
    ema = EMA(net, NOTHING, 0.5)
    for k in (3, 8):
        net.count.fill_(k)
        net.running.fill_(k)
        ema.update()
    ema.refresh()
    assert ema.energy.count == 8
    assert ema.energy.count.dtype == torch.int64
    assert torch.equal(ema.energy.running, torch.full((4,), 8.0))


def test_averages_what_a_spectral_norm_normalises() -> None:
    torch.manual_seed(0)
    net = Linear()
    spectral_norm(net.linear)
    ema, seen = EMA(net, NOTHING, 0.5), []
    for _ in range(2):
        with torch.no_grad():
            net.linear.parametrizations.weight.original.normal_()
        net.train()(torch.randn(5, 3))  # moves u and v
        ema.update()
        seen.append(net.linear.parametrizations.weight.original.detach().clone())
    ema.refresh()
    torch.testing.assert_close(ema.energy.linear.parametrizations.weight.original, (seen[0] + seen[1]) / 2)
    for mine, theirs in zip(ema.energy.buffers(), net.buffers(), strict=True):
        assert torch.equal(mine, theirs)
    assert ema.energy(torch.randn(5, 3)).shape == (5,)


def test_resumed_equals_uninterrupted() -> None:
    whole, broken = Net(), Net()
    one = EMA(whole, NOTHING, 0.2)
    walk(one, whole, 3)
    state = copy.deepcopy(one.state_dict())
    assert type(state["n_updates"]) is int
    two = EMA(broken, NOTHING, 0.2)
    two.load_state_dict(state)
    for ema, net in ((one, whole), (two, broken)):
        net.load_state_dict(copy.deepcopy(state["energy"]))
        walk(ema, net, 6)
    assert two.n_updates == 9
    torch.testing.assert_close(two.state_dict(), one.state_dict(), rtol=0, atol=0)


def test_the_norm_of_averaged_weights_is_their_own() -> None:
    torch.manual_seed(0)
    net = Linear(6, 5)
    register_parametrization(
        net.linear, "weight", PowerIteration(net.linear.weight, bounded=False, n_power_iterations=1)
    )
    ema = EMA(net, NOTHING, 0.5)
    for _ in range(3):
        with torch.no_grad():
            net.linear.parametrizations.weight.original.normal_()
        net.train()(torch.randn(5, 6))
        ema.update()
    before = copy.deepcopy(net.state_dict())
    ema.refresh()
    assert torch.linalg.matrix_norm(ema.energy.linear.weight, 2).item() == pytest.approx(1, abs=1e-2)
    once = copy.deepcopy(ema.energy.state_dict())
    ema.refresh()
    torch.testing.assert_close(ema.energy.state_dict(), once, rtol=0, atol=0)  # of the present weights alone
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


def test_parameters_of_the_objective_are_averaged_too() -> None:
    net, objective = Net(), Scaled()
    ema = EMA(net, objective, rate=0.1)
    for value in (1.0, 2.0, 6.0):
        with torch.no_grad():
            objective.weight.fill_(value)
        ema.update()
    assert ema.objective.weight.item() == pytest.approx(3.0)
    assert not ema.objective.weight.requires_grad
    assert objective.weight.requires_grad
    other = EMA(Net(), Scaled(), rate=0.1)
    other.load_state_dict(ema.state_dict())
    assert torch.equal(other.objective.weight, ema.objective.weight)


def test_refuses_weights_of_another_network() -> None:
    with pytest.raises(RuntimeError):
        EMA(Linear(2), NOTHING, 0.5).load_state_dict(EMA(Linear(3), NOTHING, 0.5).state_dict())


def test_a_module_without_parameters_is_no_problem() -> None:
    ema = EMA(Flat(), NOTHING, 0.5)
    ema.update()
    assert ema.n_updates == 1
